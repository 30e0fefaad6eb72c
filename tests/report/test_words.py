"""Figures and names as people read them."""

from __future__ import annotations

import pytest

from tinygen.report.words import nodes, share, size


@pytest.mark.parametrize(
    ("n", "text"),
    [(524_288, "512 KiB"), (4 << 20, "4,096 KiB"), (523_264, "511 KiB"), (1000, "1,000 bytes"), (0, "0 bytes")],
)
def test_size(n: int, text: str) -> None:
    assert size(n) == text


@pytest.mark.parametrize(
    ("part", "text"), [(0, "0 %"), (1, "0.1 %"), (99, "9.9 %"), (100, "10 %"), (995, "100 %"), (2000, "200 %")]
)
def test_share(part: int, text: str) -> None:
    assert share(part, 1000) == text


def test_nodes() -> None:
    assert nodes(()) == ""
    assert nodes(["/a/Conv", "/a/Relu"]) == "/a/Conv, /a/Relu"
    assert nodes(["n" * 60, "m"]) == "n" * 60 + " and 1 more"
    assert nodes(["/a/Conv", "x" * 53, "y", "z"]) == "/a/Conv and 3 more"
    long = nodes(["model/" + "part/" * 30 + "BiasAdd", "y"])
    assert long == "..." + ("part/" * 30 + "BiasAdd")[-57:] + " and 1 more"
