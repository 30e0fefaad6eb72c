"""A dense network of a size to choose, with samples and a project file for two boards."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.emit.nets import Net

SMALL = """\
boards = ["nucleo_f446re", "nucleo_g071rb"]
[options]
verify = "none"
[models.net]
path = "net.onnx"
data = "net.npz"
"""


def write_net(folder: Path, hidden: int = 48) -> None:
    """net.onnx and net.npz; tinygen.toml where there is none."""
    net = Net()
    y = net.dense(net.op("Relu", net.dense(net.input("x", 1, 16), 16, hidden)), hidden, 4)
    (folder / "net.onnx").write_bytes(net.model(y).SerializeToString())
    np.savez(folder / "net.npz", x=np.random.default_rng(0).normal(size=(80, 16)).astype(np.float32))
    if not (folder / "tinygen.toml").exists():
        (folder / "tinygen.toml").write_text(SMALL)
