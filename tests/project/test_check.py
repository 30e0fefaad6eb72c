"""`tinygen check`: green, red, renewed; what it writes for others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.cli.support import Said
from tests.project.nets import SMALL, write_net
from tests.project.support import TWO, ok, place, tinygen
from tinygen.project.lock import read_lock


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with figures recorded."""
    write_net(tmp_path)
    (tmp_path / "tinygen.toml").write_text(SMALL)
    ok("check", "--renew", cwd=tmp_path)
    return tmp_path


def states(said: Said) -> dict[str, set[str]]:
    """By target and model: how its figures stand, those aside that are the same."""
    groups = {g["name"]: {f["state"] for f in g["figures"]} - {"same"} for g in said.json["groups"]}
    return {name: found for name, found in groups.items() if found}


def test_without_a_lock_it_says_what_to_do(tmp_path: Path) -> None:
    write_net(tmp_path)
    (tmp_path / "tinygen.toml").write_text(SMALL)
    said = tinygen("check", cwd=tmp_path)
    assert said.code == 11
    assert "there is no tinygen.lock" in said.err
    assert "check --renew" in said.err
    assert "[1/2]" not in said.err, "at once, not after all is built"


def test_green(project: Path) -> None:
    before = (project / "tinygen.lock").read_bytes()
    said = ok("check", "--json", "--strict", cwd=project)
    assert said.json["passed"] is True
    assert states(said) == {}
    assert "[2/2] net/nucleo_g071rb: built" in said.err
    assert (project / "tinygen.lock").read_bytes() == before
    assert not (project / "build").exists(), "the output folders stay as they are"
    assert "2 targets; figures: " in ok("check", cwd=project).out


def test_red_when_a_layer_grows(project: Path) -> None:
    write_net(project, hidden=96)
    said = tinygen("check", "--json", cwd=project)
    assert said.code == 11
    assert said.json["passed"] is False
    assert said.json["error"]["exit_code"] == 11
    found = states(said)
    assert "worse" in found["net/nucleo_f446re"]
    assert "worse" in found["net/nucleo_g071rb"]
    assert "changed" in found["net"]
    assert "net/nucleo_f446re: flash" in said.err
    assert "tinygen check --renew" in said.err
    renewed = ok("check", "--renew", cwd=project)
    assert "Accepted" in renewed.out
    assert "flash" in renewed.out
    assert states(ok("check", "--json", cwd=project)) == {}


def test_better_is_told(project: Path) -> None:
    write_net(project, hidden=20)
    said = ok("check", "--json", cwd=project)
    assert "better" in states(said)["net/nucleo_f446re"]
    assert tinygen("check", "--strict", cwd=project).code == 11, "its hash is another"


def test_a_limit_fails_even_what_is_recorded(project: Path) -> None:
    (project / "tinygen.toml").write_text(SMALL + "[models.net.on.nucleo_g071rb]\nlimits = { max_flash = 1000 }\n")
    said = tinygen("check", "--json", cwd=project)
    assert said.code == 11
    assert states(said) == {"net/nucleo_g071rb": {"limit"}}
    renewed = tinygen("check", "--renew", cwd=project)
    assert renewed.code == 11, "limits stand in the project file"
    assert "limits stand in tinygen.toml" in renewed.err


def test_a_limit_of_accuracy(project: Path) -> None:
    (project / "tinygen.toml").write_text(SMALL + "limits = { min_sqnr = 90 }\n")
    said = tinygen("check", "--json", cwd=project)
    assert said.code == 11
    assert states(said) == {"net": {"limit"}}
    (figure,) = [f for g in said.json["groups"] if g["name"] == "net" for f in g["figures"] if f["state"] == "limit"]
    assert "`min_sqnr` asks for 90 dB" in figure["why"]


def test_a_target_that_cannot_be_built(project: Path) -> None:
    (project / "net.onnx").write_bytes(b"no model")
    said = tinygen("check", "--json", "--junit", "j.xml", cwd=project)
    assert said.code == 11
    assert states(said) == {"net/nucleo_f446re": {"failed"}, "net/nucleo_g071rb": {"failed"}}
    assert check_junit(project / "j.xml")["errors"] == 2
    before = (project / "tinygen.lock").read_bytes()
    renewed = tinygen("check", "--renew", cwd=project)
    assert renewed.code == 11
    assert "Nothing was recorded" in renewed.err
    assert (project / "tinygen.lock").read_bytes() == before


def test_new_and_gone_targets_are_told(project: Path) -> None:
    text = SMALL.replace("nucleo_g071rb", "nucleo_l476rg")
    (project / "tinygen.toml").write_text(text)
    said = ok("check", "--json", cwd=project)
    assert states(said) == {"net/nucleo_l476rg": {"new"}, "net/nucleo_g071rb": {"gone"}}
    ok("check", "--renew", cwd=project)
    assert list(read_lock(project / "tinygen.lock").models["net"].targets) == ["nucleo_f446re", "nucleo_l476rg"]


def test_only_some(project: Path) -> None:
    write_net(project, hidden=96)
    before = read_lock(project / "tinygen.lock").models["net"].targets
    said = tinygen("check", "--json", "--only", "net/nucleo_g071rb", cwd=project)
    assert {name for name in states(said) if "/" in name} == {"net/nucleo_g071rb"}, "the other is not gone"
    ok("check", "--renew", "--only", "net/nucleo_g071rb", cwd=project)
    after = read_lock(project / "tinygen.lock").models["net"].targets
    assert after["nucleo_f446re"] == before["nucleo_f446re"]
    assert after["nucleo_g071rb"] != before["nucleo_g071rb"]
    lock = project / "tinygen.lock"
    lock.write_text(lock.read_text().replace('tinygen = "', 'tinygen = "0.0.'))
    said = tinygen("check", "--renew", "--only", "net/nucleo_g071rb", cwd=project)
    assert said.code == 11
    assert "leave out --only" in said.err


def test_another_compiler(tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    """On a real compiler and emulator; then the compiler says that it is another."""
    for tool in ("gcc", "arm-none-eabi-gcc", "qemu-system-arm"):
        require_tool(tool)
    write_net(tmp_path)
    (tmp_path / "tinygen.toml").write_text(SMALL.replace('"none"', '"board"').replace(', "nucleo_g071rb"', ""))
    ok("check", "--renew", cwd=tmp_path)
    target = read_lock(tmp_path / "tinygen.lock").models["net"].targets["nucleo_f446re"]
    assert (target.sizes_by, target.time_by) == ("arm-none-eabi-gcc", "qemu-system-arm")
    fake = tmp_path / "other-gcc"
    real = shutil.which("arm-none-eabi-gcc")
    fake.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "other-gcc (Fake) 99.1" && exit\nexec {real} "$@"\n')
    fake.chmod(0o755)
    said = ok("check", "--json", "--junit", "j.xml", "--markdown", "m.md", cwd=tmp_path, TINYGEN_ARM_GCC=str(fake))
    assert states(said) == {"net/nucleo_f446re": {"not comparable"}, "tools": {"changed"}}
    assert "here is (Fake) 99.1" in json.dumps(said.json)
    assert check_junit(tmp_path / "j.xml")["skipped"] == 4, "flash, RAM, stack and cycles"
    assert "Not comparable: flash, RAM, stack, cycles of net/nucleo_f446re" in (tmp_path / "m.md").read_text()
    assert tinygen("check", "--strict", cwd=tmp_path, TINYGEN_ARM_GCC=str(fake)).code == 11


# -- for others ------------------------------------------------------------------------------------------------------


def check_junit(path: Path) -> dict[str, int]:
    """The sums of a JUnit file that keeps to the shape that Jenkins, GitLab and others read."""
    root = ElementTree.parse(path).getroot()
    assert root.tag == "testsuites"
    assert set(root.attrib) == {"name", "tests", "failures", "errors", "time"}
    sums = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for suite in root:
        assert suite.tag == "testsuite"
        assert set(suite.attrib) == {"name", "tests", "failures", "errors", "skipped", "time"}
        assert float(suite.get("time", "")) >= 0.0
        cases = list(suite)
        assert all(c.tag == "testcase" and set(c.attrib) == {"classname", "name", "time"} for c in cases)
        assert len({(c.get("classname"), c.get("name")) for c in cases}) == len(cases), "each case once"
        kinds = [child.tag for c in cases for child in c]
        assert set(kinds) <= {"failure", "error", "skipped", "system-out"}
        assert all(len(c) == 1 and "message" in c[0].attrib for c in cases if c[0].tag != "system-out")
        counted = {"tests": len(cases), **{k: kinds.count(t) for k, t in
                   (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"))}}  # fmt: skip
        for name, n in counted.items():
            assert suite.get(name) == str(n)
            sums[name] += n
    assert all(root.get(name) == str(sums[name]) for name in ("tests", "failures", "errors"))
    return sums


def test_junit_and_markdown(project: Path) -> None:
    ok("check", "--junit", "out/j.xml", "--markdown", "m.md", cwd=project)
    assert check_junit(project / "out" / "j.xml")["failures"] == 0
    assert (project / "m.md").read_text().startswith("### tinygen check: passed\n")
    write_net(project, hidden=96)
    assert tinygen("check", "--junit", "out/j.xml", "--markdown", "m.md", cwd=project).code == 11
    assert check_junit(project / "out" / "j.xml")["failures"] >= 4
    text = (project / "m.md").read_text()
    assert text.startswith("### tinygen check: failed\n")
    rows = [line.split("|")[1:3] for line in text.splitlines() if line.startswith("| net/")]
    assert [r[1].strip() for r in rows[:2]] == ["worse", "worse"]
    assert "<details open><summary>Not as recorded</summary>" in text


def test_a_file_that_cannot_be_written_is_told_first(project: Path) -> None:
    said = tinygen("check", "--junit", ".", cwd=project)
    assert said.code == 6
    assert "[1/2]" not in said.err


def test_three_models_on_three_boards(tmp_path: Path) -> None:
    write_net(tmp_path)
    boards = ("nucleo_f446re", "nucleo_g071rb", "nucleo_f767zi")
    net = '[models.net]\npath = "net.onnx"\ndata = "net.npz"\n'
    place(tmp_path, TWO.replace('"nucleo_g071rb"]', '"nucleo_g071rb", "nucleo_f767zi"]') + net)
    ok("check", "--renew", cwd=tmp_path)
    found = read_lock(tmp_path / "tinygen.lock").models
    assert {m: tuple(sorted(of.targets)) for m, of in found.items()} == dict.fromkeys(
        ("digits", "net", "sine"), tuple(sorted(boards))
    )
    assert (found["digits"].measure, found["digits"].samples) == ("accuracy", 360)
    for of in found.values():
        times = {board: (t.cycles is None, t.instructions is None) for board, t in of.targets.items()}
        assert times == {boards[0]: (False, True), boards[1]: (False, True), boards[2]: (True, False)}
    green = ok("check", "--json", "--strict", "--junit", "j.xml", cwd=tmp_path)
    assert states(green) == {}
    assert "[9/9] " in green.err
    assert check_junit(tmp_path / "j.xml")["tests"] == 6 + 3 * 4 + 9 * 5
    write_net(tmp_path, hidden=96)
    red = tinygen("check", "--json", cwd=tmp_path)
    assert red.code == 11
    assert {name for name, found in states(red).items() if "worse" in found} == {f"net/{b}" for b in boards}
