"""The commands in the READMEs are run as they stand there, in a copy of what they work on."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.support import ROOT, ok

EXAMPLES = sorted(p.parent.name for p in (ROOT / "examples").glob("*/README.md"))


def commands(text: str) -> list[list[str]]:
    """`tinygen ...` in console blocks and in code spans, each once, split into words."""
    blocks = "".join(re.findall(r"```(?:console|sh|bash)\n(.*?)```", text, re.S)).replace("\\\n", " ")
    lines = [line.removeprefix("$ ") for line in blocks.splitlines()]
    spans = [s for s in re.findall(r"`(tinygen [^`\n]+)`", text) if "NAME" not in s]
    found = [line.split(" #")[0].strip() for line in (*lines, *spans)]
    words = [shlex.split(line)[1:] for line in dict.fromkeys(found) if line.startswith("tinygen ")]
    return [w for w in words if len(w) > 1 or w[0] in ("boards", "ops")]  # others are mentioned, not shown


def test_commands_are_found() -> None:
    text = "```console\n$ tinygen a \\\n  b\nmake x\n```\n| `tinygen c d` | `other` |\n"
    assert commands(text) == [["a", "b"], ["c", "d"]]
    assert {c[0] for c in commands((ROOT / "README.md").read_text())} == {
        *("inspect", "build", "eval", "quantize", "compress", "fit", "verify", "profile", "boards", "ops"),
    }


@pytest.mark.parametrize("example", [None, *EXAMPLES])
def test_readme_commands_run(example: str | None, tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    """The project's own README speaks of model.onnx, calib.npz, train.npz, test.npz: those of an example stand in."""
    for tool in ("gcc", "arm-none-eabi-gcc", "qemu-system-arm"):
        require_tool(tool)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    digits = ROOT / "examples" / "digits"
    for source, name in (
        ("digits.onnx", "model.onnx"),
        ("digits_calib.npz", "calib.npz"),
        ("digits_calib.npz", "train.npz"),
        ("digits_test.npz", "test.npz"),
    ):
        shutil.copy(digits / source, tmp_path / name)
    path = ROOT / "README.md" if example is None else ROOT / "examples" / example / "README.md"
    found = commands(path.read_text(encoding="utf-8"))
    assert found, f"{path} shows no command"
    order = ["boards", "ops", "inspect", "quantize", "compress", "fit", "build", "eval", "verify", "profile"]
    for command in sorted(found, key=lambda c: order.index(c[0])):
        short = ("--trials", "2", "--epochs", "1") if command[0] == "fit" else ()
        ok(*command, *short, cwd=tmp_path)


def test_readme_c_code_compiles(tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    """The example program of README.md, against a library called kws."""
    require_tool("gcc")
    (block,) = re.findall(r"```c\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    model = ROOT / "examples" / "digits" / "digits.onnx"
    ok("build", model, "--name", "kws", "--board", "nucleo_f446re", "--verify", "none", "-o", "out", cwd=tmp_path)
    source = tmp_path / "out" / "lib" / "kws" / "src"
    (tmp_path / "user.c").write_text(block)
    command = [
        "gcc",
        "-std=c99",
        "-Wall",
        "-Wextra",
        "-Wpedantic",
        "-Werror",
        "-shared",
        "-fPIC",
        f"-I{source}",
        "user.c",
    ]
    done = subprocess.run(
        [*command, *source.glob("*.c"), "-o", "user.so"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_readme_names_the_files_that_come_out(tmp_path: Path) -> None:
    """The tree under "What comes out" is what is there."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```text\nout/\n(.*?)```", text, re.S)
    model = ROOT / "examples" / "digits" / "digits.onnx"
    ok("build", model, "--name", "kws", "--board", "nucleo_f446re", "--verify", "none", "-o", "out", cwd=tmp_path)
    for line in block.splitlines():
        name = line.split()[0]
        found = tmp_path / "out" / name
        assert found.is_dir() if name.endswith("/") else found.is_file(), name
    assert (tmp_path / "out" / "lib" / "kws" / "src" / "kws.h").is_file()
