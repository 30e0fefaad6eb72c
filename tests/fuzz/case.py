"""One case: a seed makes the files and the command, the command runs in this process, and what it did is judged."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from onnx import ModelProto

from tests.errors.cases import Command, run
from tests.fuzz import mutate
from tests.random.generator import generate
from tinygen.compress.recipe import Recipe, read_recipe, to_toml
from tinygen.errors import TinygenError
from tinygen.flow import quantised

#: Networks that mutations start from: random ones, of which every fourth is quantised.
STARTS = 96
#: What no case may take.
SECONDS, MEBIBYTES = 20, 1024
BOARDS = ("nucleo_f446re", "nucleo_f030r8", "nucleo_h743zi", "native")


@dataclass(frozen=True)
class Outcome:
    """`code`: exit code; `fault`: what is wrong with tinygen, or nothing."""

    seed: int
    kind: str
    code: int
    fault: str
    seconds: float
    mebibytes: int


@cache
def start(index: int) -> bytes:
    return generate(index).SerializeToString()


def _model(rng: mutate.Random) -> ModelProto:
    return ModelProto.FromString(start(int(rng.integers(STARTS))))


def _build(rng: mutate.Random, folder: Path, model: bytes, *more: str, stem: str = "net") -> Command:
    path = folder / f"{stem}.onnx"
    path.write_bytes(model)
    if rng.random() < 0.1:
        return ("inspect", str(path))
    board = mutate.pick(rng, BOARDS)
    return ("build", str(path), "--board", board, "--verify", "none", "--output", str(folder / "out"), *more)


def fields(rng: mutate.Random, folder: Path) -> Command:
    model = _model(rng)
    mutate.change_fields(rng, model)
    return _build(rng, folder, model.SerializeToString())


def raw(rng: mutate.Random, folder: Path) -> Command:
    other = start(int(rng.integers(STARTS)))
    return _build(rng, folder, mutate.damage(rng, _model(rng).SerializeToString(), other))


def names(rng: mutate.Random, folder: Path) -> Command:
    model = _model(rng)
    mutate.change_names(rng, model)
    return _build(rng, folder, model.SerializeToString(), stem=mutate.file_stem(rng))


def data(rng: mutate.Random, folder: Path) -> Command:
    model = _model(rng)
    shape = tuple(d.dim_value or 1 for d in model.graph.input[0].type.tensor_type.shape.dim)
    name, content = mutate.data_file(rng, shape)
    (folder / name).write_bytes(content)
    if rng.random() < 0.3:
        path = folder / "net.onnx"
        path.write_bytes(model.SerializeToString())
        return ("eval", str(path), "--data", str(folder / name))
    return _build(rng, folder, model.SerializeToString(), "--data", str(folder / name))


def recipe(rng: mutate.Random, folder: Path) -> Command:
    """Read only: what a recipe asks for may take its time."""
    (folder / "recipe.toml").write_bytes(mutate.recipe_text(rng, to_toml(Recipe())))
    return ("recipe", str(folder / "recipe.toml"))


KINDS: dict[str, tuple[Callable[[mutate.Random, Path], Command], float]] = {
    "fields": (fields, 0.45),
    "bytes": (raw, 0.15),
    "names": (names, 0.15),
    "data": (data, 0.15),
    "recipe": (recipe, 0.10),
}


def make(seed: int, folder: Path) -> tuple[str, Command]:
    """The kind and the command of a seed; its files are in `folder`."""
    rng = np.random.default_rng([9, seed])
    kind = str(rng.choice(list(KINDS), p=[share for _, share in KINDS.values()]))
    return kind, KINDS[kind][0](rng, folder)


def run_case(seed: int, folder: Path) -> Outcome:
    """Everything; `folder` is emptied first and left as it is."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    quantised.SYNTHETIC_SAMPLES = 4  # fewer made-up samples: the same code, sooner
    kind, command = make(seed, folder)
    _reset_peak()
    before, began = _peak(), time.process_time()
    code, fault = _read_only(command) if command[0] == "recipe" else _whole(command, folder)
    seconds, mebibytes = time.process_time() - began, _peak()
    if not fault and seconds > SECONDS:
        fault = f"{seconds:.1f} s of processor time"
    if not fault and mebibytes - before > MEBIBYTES - 200:  # 200 are there before it begins
        fault = f"{mebibytes} MiB"
    return Outcome(seed, kind, code, fault, round(seconds, 3), mebibytes)


def _read_only(command: Command) -> tuple[int, str]:
    try:
        read_recipe(Path(command[1]))
    except TinygenError as e:
        return e.exit_code, ""
    except Exception as e:  # noqa: BLE001 - this is what is looked for
        return 70, f"{type(e).__name__}: {e}"[:300]
    return 0, ""


def _whole(command: Command, folder: Path) -> tuple[int, str]:
    try:
        result = run(command)
    except Exception as e:  # noqa: BLE001 - this is what is looked for
        return 70, f"escaped: {type(e).__name__}: {e}"[:300]
    # 7 is the import check, which stops a build that would be wrong: counted, and no fault of this kind.
    if result.code == 70 or "Traceback" in result.text:
        return result.code, result.text[-500:]
    bad = next((c for c in result.stdout + result.stderr if ord(c) < 32 and c != "\n"), None)
    if bad is not None:
        return result.code, f"control character {bad!r} printed"
    return result.code, _emitted_fault(folder / "out") if result.code == 0 else ""


#: What a C file is read as: comments, strings, characters.
_C = re.compile(rb'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def _emitted_fault(out: Path) -> str:
    """Names of the model must not leave the comments and strings they stand in."""
    for path in (*out.rglob("*.c"), *out.rglob("*.h"), *out.rglob("*.cpp")):
        text = path.read_bytes()
        where = path.relative_to(out)
        if any(b < 32 and b not in b"\n\t" for b in text):
            return f"{where}: a control character"
        for comment in _C.findall(text):
            if comment.startswith((b"/*", b"//")) and (b"??/" in comment or b"\\\n" in comment or b"/*" in comment[2:]):
                return f"{where}: a comment that compilers read otherwise: {comment[:80]!r}"
        if b"*/" in _C.sub(b"", text):
            return f"{where}: a comment ends too early"
    return ""


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    """Most memory since `_reset_peak`, in MiB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) // 1024 if found else 0
