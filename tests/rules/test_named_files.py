"""Files of tinygen that kernels and their headers name are there: whoever reads the C wants to look them up."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (ROOT / "templates_c" / "kernels", ROOT / "tinygen" / "kernels")
BELOW = (ROOT, ROOT / "tinygen", ROOT / "tinygen" / "kernels")


def test_named_files_are_there() -> None:
    files = [p for folder in FOLDERS for p in sorted(folder.rglob("*")) if p.suffix in (".c", ".h", ".j2", ".py")]
    named = [(p, name) for p in files for name in re.findall(r"[\w/]+\.py\b", p.read_text(encoding="utf-8"))]
    assert len(named) > 50
    missing = [
        f"{p.relative_to(ROOT)}: {name}"
        for p, name in named
        if not any((b / name).is_file() for b in (*BELOW, p.parent))
    ]
    assert not missing, "\n".join(missing)
