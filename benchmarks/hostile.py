"""What tinygen says of hostile files, in what time and memory: every file of a folder, each in a process of its own.

    python -m benchmarks.hostile [FOLDER]      table; FOLDER is ../shared/cases/hostile unless given

Models are built (`--verify none`) from a copy, while the folder is the current one; data and recipes are given to a
sound model. Seconds of processor time of the command, and the peak memory of its process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console
from rich.table import Table

from benchmarks.datasets import shared_dir

BOARD = "nucleo_f446re"


def sound_model(path: Path, shape: tuple[int, ...]) -> Path:
    """A mean over an image, for data."""
    weights = numpy_helper.from_array(np.ones((shape[1], shape[1], 1, 1), np.float32), "w")
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", shape), ("y", None))]
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("GlobalAveragePool", ["c"], ["y"])]
    graph = helper.make_graph(nodes, "sound", ports[:1], ports[1:], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def command(file: Path, folder: Path) -> list[str]:
    """What a file is given to."""
    build = ["--board", BOARD, "--verify", "none", "--output", str(folder / "out")]
    if file.suffix == ".onnx":  # alone in a folder: what it refers to lies in the current one
        return ["build", shutil.copy(file, folder / file.name), *build]
    model = str(sound_model(folder / "sound.onnx", (1, 1, 8, 8)))
    if file.suffix in (".npz", ".npy"):
        return ["build", model, "--data", str(file), *build]
    np.savez(folder / "data.npz", x=np.zeros((40, 1, 8, 8), np.float32), y=np.arange(40) % 2)
    return ["compress", model, "--data", str(folder / "data.npz"), "--recipe", str(file), "-o", str(folder / "s.onnx")]


def measure(file: Path) -> tuple[int, float, int, str]:
    """Exit code, seconds of processor time, peak MiB and the message."""
    with tempfile.TemporaryDirectory() as temporary:
        arguments = command(file, Path(temporary))
        process = subprocess.Popen(
            [sys.executable, "-c", "from tinygen.cli import main; main()", *arguments],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=file.parent,
        )  # fmt: skip
        assert process.stderr is not None
        text = " ".join(process.stderr.read().replace(f"{temporary}/", "").split())
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        return process.returncode, usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024, text


def main() -> int:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else shared_dir() / "cases" / "hostile"
    table = Table(title=f"Files of {folder.name}")
    for column in ("file", "exit", "s", "MiB"):
        table.add_column(column, justify="left" if column == "file" else "right")
    table.add_column("message", overflow="fold")
    bad = 0
    for file in sorted(f for f in folder.iterdir() if f.suffix in (".onnx", ".npz", ".npy", ".toml")):
        code, seconds, mebibytes, text = measure(file)
        bad += code in (1, 70) or code < 0 or mebibytes > 1024
        table.add_row(file.name, str(code), f"{seconds:.1f}", str(mebibytes), text[:400])
    Console(width=180).print(table)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
