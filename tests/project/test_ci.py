"""The GitHub Action and the pre-commit hook: their shell steps run in a clean folder, as a runner would start them."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.support import ROOT
from tests.project.nets import write_net
from tests.project.support import ok
from tests.project.test_check import check_junit
from tests.pythons.wheel import copy_sources
from tinygen.targets.arch.arm_m.cores import GCC, QEMU
from tinygen.targets.arch.host import HOST

ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    """A checkout with figures recorded, on a runner without tinygen."""
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    write_net(checkout)
    ok("check", "--renew", cwd=checkout)
    return Runner(tmp_path, checkout)


class Runner:
    """What GitHub's runner does with the steps of a composite action."""

    def __init__(self, folder: Path, checkout: Path) -> None:
        self.checkout = checkout
        self.temp, self.tools = folder / "temp", folder / "tools"
        for place in (self.temp, self.tools):
            place.mkdir()
        self.path_file, self.summary, self.log = folder / "path", folder / "summary.md", folder / "sudo.log"
        self.path_file.touch()
        sudo = self.tools / "sudo"
        sudo.write_text(f'#!/bin/sh\necho "$@" >> {shlex.quote(str(self.log))}\n')
        sudo.chmod(0o755)

    def step(self, name: str, **inputs: str) -> subprocess.CompletedProcess[str] | None:
        """Run one step; None where its condition says no."""
        (step,) = [s for s in ACTION["runs"]["steps"] if s["name"] == name]
        assert step["shell"] == "bash"
        given = {key: str(of["default"]) for key, of in ACTION["inputs"].items()} | inputs
        if "if" in step:
            (wanted,) = re.findall(r"^\$\{\{ inputs\.(\w+) == 'true' \}\}$", step["if"])
            if given[wanted] != "true":
                return None
        assert "${{" not in step["run"], "inputs come by the environment, or they could be code"
        more = {k: _filled(v, given) for k, v in step.get("env", {}).items()}
        path = os.pathsep.join([*reversed(self.path_file.read_text().split()), str(self.tools), os.environ["PATH"]])
        world = {
            **os.environ, **more, "PATH": path, "RUNNER_TEMP": str(self.temp), "GITHUB_PATH": str(self.path_file),
            "GITHUB_ACTION_PATH": str(self.temp / "action"), "GITHUB_STEP_SUMMARY": str(self.summary),
        }  # fmt: skip
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        return subprocess.run(command, cwd=self.checkout, env=world, capture_output=True, text=True, check=False)

    def with_tinygen(self) -> Runner:
        """As after the first step: tinygen is on PATH."""
        command = self.tools / "tinygen"
        command.write_text(
            f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {shlex.quote(sys.executable)} -m tinygen "$@"\n'
        )
        command.chmod(0o755)
        return self


def _filled(value: str, given: dict[str, str]) -> str:
    return re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda m: given[m[1]], value)


def test_action_has_what_the_steps_ask_for() -> None:
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"inputs\.(\w+)", text)) == set(ACTION["inputs"])
    assert all(of["description"] for of in ACTION["inputs"].values())


def test_action_installs_tinygen(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the action's own folder; what tinygen needs is here already, and nothing is fetched."""
    (runner.temp / "action").mkdir()
    copy_sources(runner.temp / "action")
    here = next(p for p in map(Path, sys.path) if (p / "setuptools").is_dir())
    monkeypatch.setenv("PYTHONPATH", str(here))
    for name, value in (("NO_DEPS", "1"), ("NO_BUILD_ISOLATION", "0"), ("NO_INDEX", "1"), ("NO_CACHE_DIR", "1")):
        monkeypatch.setenv(f"PIP_{name}", value)
    done = runner.step("Install tinygen")
    assert done is not None
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = runner.path_file.read_text().split()
    assert (Path(folder) / "tinygen").is_file()
    checked = runner.step("Check")
    assert checked is not None
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert runner.summary.read_text().startswith("### tinygen check: passed")


def test_action_installs_compilers(runner: Runner) -> None:
    assert runner.step("Install compiler and emulator", tools="false") is None
    done = runner.step("Install compiler and emulator")
    assert done is not None
    assert done.returncode == 0, done.stderr
    update, install = runner.log.read_text().splitlines()
    assert update == "apt-get update"
    named = {p for tool in (GCC, QEMU, HOST.compiler) for p in tool.debian.split()}
    assert {w for w in install.split() if not w.startswith("-")} == {"apt-get", "install", *named}


def test_action_checks(runner: Runner) -> None:
    def check(**inputs: Any) -> int:
        done = runner.with_tinygen().step("Check", **inputs)
        assert done is not None
        return done.returncode

    assert check() == 0
    assert check_junit(runner.checkout / "tinygen-junit.xml")["failures"] == 0
    write_net(runner.checkout, hidden=96)
    assert check(junit="out/it's.xml") == 11
    assert runner.summary.read_text().startswith("### tinygen check: failed")
    assert check_junit(runner.checkout / "out" / "it's.xml")["failures"] > 0
    write_net(runner.checkout, hidden=20)
    assert check(junit="", project="./tinygen.toml") == 0
    assert check(junit="", strict="true") == 11


def test_hook(runner: Runner) -> None:
    """pre-commit runs `entry` in the checkout, without names of files, when one of `files` is committed."""
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert (hook["language"], hook["pass_filenames"]) == ("python", False)
    wanted = ["tinygen.toml", "sub/tinygen.lock", "models/kws.onnx", "data/x.npz", "vww.recipe.toml"]
    assert [f for f in [*wanted, "src/main.c", "pyproject.toml"] if re.search(hook["files"], f)] == wanted
    runner.with_tinygen()

    def commit() -> int:
        world = {**os.environ, "PATH": f"{runner.tools}{os.pathsep}{os.environ['PATH']}"}
        return subprocess.run(
            shlex.split(hook["entry"]), cwd=runner.checkout, env=world, capture_output=True, check=False
        ).returncode

    assert commit() == 0
    write_net(runner.checkout, hidden=96)
    assert commit() == 11
