"""What benchmarks keep in git: small, and enough for the page that is written from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import mlperf, packed, predict, record, report, single_layers

#: Lines of a file of results. Detail belongs into build/benchmarks.
MOST = 2000


@pytest.mark.parametrize("path", sorted(record.RESULTS.glob("*.json")), ids=lambda p: p.stem)
def test_results_are_summaries(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST


def test_the_page_is_what_the_results_say() -> None:
    assert report.PAGE.read_text(encoding="utf-8") == report.page(), "run: python -m benchmarks.report"


@pytest.mark.parametrize("depth", range(5))
def test_a_record_to_a_line(depth: int) -> None:
    value: Any = {"a": {"x": [1, 2], "y": {}}, "b": [], "c": [{"d": None, "e": [0.1, "\n"]}]}
    text = record.text_of(value, depth)
    assert json.loads(text) == value
    assert len(text.splitlines()) == [1, 5, 10, 16, 19][depth]


def test_summary_and_detail_are_two_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(record, "DETAIL", tmp_path / "build" / "benchmarks")
    record.write("x", {"a": {"b": 1}}, [1, 2, 3], depth=1)
    assert (tmp_path / "results/x.json").read_text() == '{\n "a": {"b": 1}\n}\n'
    assert json.loads((tmp_path / "build/benchmarks/x.json").read_text()) == [1, 2, 3]


def test_packed_keeps_int8_smallest_and_fastest() -> None:
    def row(kernel: str, size: float, cycles: float, weights: str = "2 bits") -> packed.Row:
        return packed.Row("cortex-m4", "dense", weights, kernel, 0.0, size, 0, cycles, cycles)

    rows = [row("int8", 1.0, 1.0), row("small_slow", 0.250, 9.0), row("small", 0.255, 3.0), row("fast", 0.5, 2.0),
            row("int8", 1.0, 4.0, "2:4")]  # fmt: skip
    found = packed.picked(rows)["dense"]
    assert {way: r["kernel"] for way, r in found["2 bits"]["cortex-m4"].items()} == {
        "int8": "int8", "smallest": "small", "fastest": "fast",
    }  # fmt: skip
    assert list(found["2:4"]["cortex-m4"]) == ["int8"]


def test_single_layers_keep_the_best_of_each_figure() -> None:
    kernels = {"a": {"insns": 5, "cycles": 9}, "b": {"insns": 7, "cycles": 8}, "c": {"insns": 6}}
    found = single_layers.best({"macs": 0, "elements": 2, "kernels": kernels})
    assert found == {"macs": 0, "elements": 2, "insns": 5, "insns_by": "a", "cycles": 8, "cycles_by": "b"}
    assert single_layers.each(found, "cycles") == 4.0


def test_layers_are_kept_where_the_page_shows_them() -> None:
    build = {"insns": 1, "layers": [{}]}
    row = {"macs": 1, "builds": {"cortex-m4 speed": build, "cortex-m4 size": build, "cortex-m0 balanced": build}}
    found = mlperf.kept({"ad": row})["ad"]["builds"]
    assert [key for key, r in found.items() if "layers" in r] == ["cortex-m4 speed"]
    assert predict.whole({"net": {"cortex-m4": {"insns": [1, 2], "layers": [{}]}}}) == {
        "net": {"cortex-m4": {"insns": [1, 2]}}
    }
