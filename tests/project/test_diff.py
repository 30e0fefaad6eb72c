"""`tinygen diff`: which layers belong together, what differs in them, and the page."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

import tinygen as api
from tests.project.nets import write_net
from tests.project.support import ok, tinygen
from tinygen.project.diff import BuiltLayer, pair


def layer(name: str, operator: str = "dense", **more: object) -> BuiltLayer:
    made = {"shape": (1, 4), "kernels": ("k",), "macs": 1, "constants": 4, "arrays": ("1, 2",), **more}
    return BuiltLayer(name, operator, (name,), **made)  # type: ignore[arg-type]


def pairs(a: list[BuiltLayer], b: list[BuiltLayer]) -> list[tuple[str | None, str | None, tuple[str, ...]]]:
    names = [(None if p.before is None else p.before.name, None if p.after is None else p.after.name, p.what)
             for p in pair(a, b)]  # fmt: skip
    assert [n for n, _, _ in names if n] == [x.name for x in a], "each once"
    assert sorted(n for _, n, _ in names if n) == sorted(x.name for x in b)
    return names


def test_layers_of_one_name_belong_together() -> None:
    a = [layer("a"), layer("b"), layer("c")]
    assert pairs(a, a) == [(n, n, ()) for n in "abc"]
    assert pairs(a, [layer("a"), layer("c")]) == [("a", "a", ()), ("b", None, ("gone",)), ("c", "c", ())]
    assert pairs([layer("a"), layer("c")], a) == [("a", "a", ()), (None, "b", ("new",)), ("c", "c", ())]


def test_between_them_those_of_one_operator_do() -> None:
    a = [layer("a"), layer("b", "conv"), layer("b2", "pool"), layer("c")]
    b = [layer("a"), layer("x", "pool"), layer("y", "conv 5x5"), layer("c")]
    found = pairs(a, b)
    assert found == [
        ("a", "a", ()),
        ("b", None, ("gone",)),
        ("b2", "x", ()),
        (None, "y", ("new",)),
        ("c", "c", ()),
    ]
    assert pairs([], [layer("a")]) == [(None, "a", ("new",))]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"shape": (1, 8)}, ("1x4 → 1x8",)),
        ({"arrays": ("1, 3",)}, ("other constants",)),
        ({"kernels": ("k2",)}, ("other kernels",)),
        ({"kernels": ("k2",), "arrays": ("9",)}, ("other kernels", "constants laid out otherwise, or others")),
        ({"operator": "conv"}, ("dense → conv",)),
        ({"cycles": 7}, ()),
    ],
)
def test_what_differs(change: dict[str, object], what: tuple[str, ...]) -> None:
    assert pairs([layer("a")], [layer("a", **change)]) == [("a", "a", what)]  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the builds small and large."""
    folder = tmp_path_factory.mktemp("two")
    for name, hidden in (("small", 40), ("large", 48)):
        write_net(folder, hidden)
        ok(
            "build",
            "net.onnx",
            "--data",
            "net.npz",
            "--board",
            "nucleo_f446re",
            "--verify",
            "none",
            "-o",
            name,
            cwd=folder,
        )
    return folder


def test_two_builds(two: Path) -> None:
    said = ok("diff", "small", "large", "--no-count", "--json", cwd=two).json
    assert said["layers"][0]["a"]["shape"] == [1, 40]
    assert said["layers"][0]["what"][0] == "1x40 → 1x48"
    figures = {f["figure"]: f for f in said["figures"]}
    assert figures["MACs"]["now"] - figures["MACs"]["recorded"] == 8 * 20
    assert figures["constants"]["state"] == "worse"
    assert "flash" not in figures
    assert said["kernels"] == {"a": None, "b": None}
    assert said["same_integers"] is False
    same = ok("diff", "small", "small", "--no-count", "--json", cwd=two).json
    assert same["same_integers"] is True
    assert {f["state"] for f in same["figures"]} == {"same"}
    assert not any(p["what"] for p in same["layers"])
    assert "For the same inputs they give other integers" in " ".join(
        ok("diff", "small", "large", "--no-count", cwd=two).out.split()
    )


def test_counted(two: Path, require_tool: Callable[[str], None]) -> None:
    for tool in ("gcc", "arm-none-eabi-gcc", "qemu-system-arm"):
        require_tool(tool)
    found = api.diff(two / "small", two / "large")
    assert isinstance(found, api.BuildDiff)
    said = found.to_dict()
    figures = {f["figure"]: f for f in said["figures"]}
    assert figures["cycles"]["now"] > figures["cycles"]["recorded"] > 0
    assert figures["flash"]["now"] > 1000
    sides = [[p[side]["cycles"] for p in said["layers"]] for side in "ab"]
    assert all(sum(x) == figures["cycles"][key] for x, key in zip(sides, ("recorded", "now"), strict=True))
    assert said["kernels"]["a"]
    found.save_page(two / "counted.html")
    text = (two / "counted.html").read_text(encoding="utf-8")
    assert f"{figures['cycles']['now']:,}" in text
    assert "Bars show cycles" in text


class Tags(HTMLParser):
    """Checks that every element is closed in order, and collects what would be fetched."""

    EMPTY = frozenset({"meta", "wbr", "br", "hr", "link", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [v or "" for k, v in attrs if k in ("src", "href")]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page(two: Path) -> None:
    ok("diff", "small", "large", "--no-count", "--html", "d.html", cwd=two)
    text = (two / "d.html").read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    assert tags.fetched == []
    assert "url(" not in text
    assert "prefers-color-scheme: dark" in text
    assert "1x40 → 1x48" in text
    widths = [float(w) for w in re.findall(r"width:([\d.]+)%", text)]
    assert max(widths) == 100.0
    assert len(widths) == 4


def test_names_are_escaped(two: Path, tmp_path: Path) -> None:
    folder = tmp_path / "<b>&"
    folder.mkdir()
    (two / "small").rename(folder / "small")
    try:
        ok("diff", folder / "small", two / "large", "--no-count", "--html", "d.html", cwd=tmp_path)
    finally:
        (folder / "small").rename(two / "small")
    text = (tmp_path / "d.html").read_text(encoding="utf-8")
    assert "<b>" not in text
    assert "&lt;b&gt;&amp;" in text


def test_two_locks(tmp_path: Path) -> None:
    for name, hidden in (("a.lock", 40), ("b.lock", 48)):
        write_net(tmp_path, hidden)
        ok("check", "--renew", cwd=tmp_path)
        (tmp_path / "tinygen.lock").rename(tmp_path / name)
    said = ok("diff", "a.lock", "b.lock", "--json", cwd=tmp_path).json
    states = {g["name"]: g["state"] for g in said["groups"]}
    assert states["net/nucleo_f446re"] == "worse"
    assert "Figures that differ" in ok("diff", "a.lock", "b.lock", cwd=tmp_path).out
    assert tinygen("diff", "a.lock", "b.lock", "--html", "x.html", cwd=tmp_path).code == 64


def test_what_is_no_build(two: Path) -> None:
    for arguments, said in (
        (("small", "net.onnx"), "Give two built folders, or two locks"),
        (("small", "nowhere"), "nowhere: no such folder"),
        (("small", "."), "is not a folder made by tinygen"),
    ):
        found = tinygen("diff", *arguments, "--no-count", cwd=two)
        assert found.code == 6, found.err
        assert said in " ".join(found.err.split())
