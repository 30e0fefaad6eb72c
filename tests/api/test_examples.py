"""The examples of the API run: a script that makes a table, and a notebook."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.api.support import ROOT

TOOLS = ("gcc", "arm-none-eabi-gcc", "qemu-system-arm")
NOTEBOOK = ROOT / "examples" / "digits" / "digits.ipynb"


def test_three_models(tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    for tool in TOOLS:
        require_tool(tool)
    script = ROOT / "examples" / "three_models.py"
    world = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=world, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines()]
    assert [r[0] for r in rows] == ["model", "---", "digits", "digits_small", "sine"]
    assert all(len(r) == 7 for r in rows)
    flash = {r[0]: int(r[4].replace(",", "")) for r in rows[2:]}
    assert flash["sine"] < flash["digits_small"] < flash["digits"]
    assert not os.listdir(tmp_path), "it leaves nothing behind"
    code = [line for line in script.read_text(encoding="utf-8").splitlines() if line.strip() and '"""' not in line]
    assert len(code) <= 24


def test_the_notebook_runs(tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    for tool in TOOLS:
        require_tool(tool)
    place = tmp_path / "examples" / "digits"
    shutil.copytree(NOTEBOOK.parent, place)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
        nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(place)}}).execute()
    outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    assert not [o for o in outputs if o.output_type == "stream" and o.name == "stderr"]
    tables = [o for o in outputs if "text/html" in o.get("data", {})]
    assert len(tables) >= 8
    assert any("360 are wrong" in o.get("text", "") for o in outputs)


def test_the_notebook_is_kept_without_outputs() -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    code = [c for c in notebook["cells"] if c["cell_type"] == "code"]
    assert [c for c in code if c["outputs"] or c["execution_count"]] == []
