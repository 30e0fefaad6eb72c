"""What a benchmark leaves behind: in git a summary, a record to a line; outside, in build/benchmarks, all there is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
DETAIL = Path(__file__).parents[1] / "build" / "benchmarks"


def write(name: str, summary: Any, detail: Any, depth: int) -> None:
    """`summary`, whose records lie `depth` containers deep, to results/NAME.json; `detail` to build/benchmarks."""
    for folder, text in ((RESULTS, text_of(summary, depth)), (DETAIL, json.dumps(detail, indent=1))):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def text_of(value: Any, depth: int, indent: str = "") -> str:
    """JSON in which the outer `depth` containers are spread over lines, and what is deeper takes one."""
    if depth == 0 or not isinstance(value, dict | list) or not value:
        return json.dumps(value)
    inner = f"{indent} "
    if isinstance(value, dict):
        rows = [f"{inner}{json.dumps(k)}: {text_of(v, depth - 1, inner)}" for k, v in value.items()]
    else:
        rows = [f"{inner}{text_of(v, depth - 1, inner)}" for v in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return "\n".join([opening, ",\n".join(rows), f"{indent}{closing}"])
