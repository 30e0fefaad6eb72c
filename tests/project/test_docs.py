"""docs/PROJECT.md: its example is a project."""

from __future__ import annotations

import re
import shutil
import tomllib
from dataclasses import fields
from pathlib import Path

import yaml

from tests.cli.support import ROOT
from tinygen.project.compare import State
from tinygen.project.file import Project, read_project
from tinygen.project.lock import ModelFigures, TargetFigures
from tinygen.version import VERSION

TEXT = (ROOT / "docs" / "PROJECT.md").read_text(encoding="utf-8")
DIGITS = ROOT / "examples" / "digits"


def example(folder: Path) -> Project:
    """The documented project, with the digits example in the place of all its models and data."""
    (block,) = re.findall(r"```toml\n(.*?)```", TEXT, re.S)
    for model in tomllib.loads(block)["models"].values():
        for key, source in (("path", "digits.onnx"), ("data", "digits_calib.npz"), ("test", "digits_test.npz")):
            if key in model:
                path = folder / model[key]
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(DIGITS / source, path)
        if "recipe" in model:
            (folder / model["recipe"]).write_text("[bits]\nweights = 4\n")
    file = folder / "tinygen.toml"
    file.write_text(block, encoding="utf-8")
    return read_project(file)


def test_the_example(tmp_path: Path) -> None:
    project = example(tmp_path)
    assert "Seven targets" in TEXT
    assert len(project.targets) == 7
    found = {t.name: (t.target.optimize, t.gates.max_flash) for t in project.targets}
    assert found["vww/nrf52840_dk"] == ("speed", 160 << 10)
    assert found["vww/rpipico2"] == ("size", 128 << 10)
    assert [t for t in found if t.startswith("wake/")] == ["wake/nrf52840_dk"]
    for target in re.findall(r"`build/(\w+/\w+)`|--only (\w+/\w+)", TEXT):
        assert "".join(target) in found


def test_states_are_all_there() -> None:
    table = TEXT.split("| state | when | |")[1].split("\n\n")[0]
    named = {name for line in table.splitlines()[2:] for name in line.split("|")[1].replace(",", " , ").split(" , ")}
    assert {n.strip() for n in named} == {s.value for s in State}


def test_recorded_figures_are_all_there() -> None:
    table = TEXT.split("| recorded | of | |")[1].split("\n\n")[0]
    kinds = (*fields(TargetFigures), *fields(ModelFigures))
    missing = {f.name for f in kinds} - set(re.findall(r"`(\w+)`", table)) - {"error", "samples", "targets"}
    assert not missing


def test_ci_as_it_is_written() -> None:
    """Inputs of the action and the name of the hook."""
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    table = TEXT.split("| input | unless given | |")[1].split("\n\n")[0]
    assert dict(re.findall(r"^\| `(\w+)` \| `(.*?)` \|", table, re.M)) == {
        name: str(of["default"]) for name, of in action["inputs"].items()
    }
    workflow, config = (yaml.safe_load(b) for b in re.findall(r"```yaml\n(.*?)```", TEXT, re.S))
    (step,) = [s for s in workflow["jobs"]["models"]["steps"] if "tinygen" in s["uses"]]
    assert set(step["with"]) <= set(action["inputs"])
    assert config["repos"][0]["hooks"][0]["id"] == hook["id"]
    assert step["uses"].endswith(f"@v{VERSION}")
    assert config["repos"][0]["rev"] == f"v{VERSION}"
