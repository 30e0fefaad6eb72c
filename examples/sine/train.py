"""Train the sine network and write sine.onnx and sine_calib.npz beside this file.

    pip install '.[torch]'
    python examples/sine/train.py

A few seconds. Seeds are fixed; another version of PyTorch or another processor may still give slightly
different weights, so the two files are kept in the repository.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

SEED = 0
N_TRAIN = 1000
N_CALIB = 200
STEPS = 4000


def period(n: int) -> np.ndarray:
    """n points from 0 to 2 pi, both included: (n, 1) float32."""
    return np.linspace(0.0, 2.0 * math.pi, n, dtype=np.float32)[:, None]


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(1, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 1))


def train(x: np.ndarray) -> nn.Sequential:
    """Fit sin(x) on 0..2 pi by least squares."""
    torch.manual_seed(SEED)
    model = network()
    with torch.no_grad():  # spread the kinks of the first ReLU over the whole period, or most stay unused
        first = model[0]
        first.bias.copy_(-first.weight[:, 0] * torch.linspace(0.0, 2.0 * math.pi, len(first.bias)))
    xs = torch.from_numpy(x)
    ys = torch.sin(xs)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    for _ in range(STEPS):
        optimiser.zero_grad()
        nn.functional.mse_loss(model(xs), ys).backward()
        optimiser.step()
        schedule.step()
    return model.eval()


def export(model: nn.Module, path: Path) -> None:
    """Write opset 13 and drop what would tie the file to this machine (stack traces, source paths)."""
    torch.onnx.export(
        model,
        (torch.zeros(1, 1),),
        str(path),
        dynamo=False,
        opset_version=13,
        input_names=["x"],
        output_names=["y"],
    )
    proto = onnx.load(path)
    proto.graph.name = "sine"
    for part in (proto, proto.graph, *proto.graph.node):
        part.doc_string = ""
        del part.metadata_props[:]
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder of the two files")
    folder: Path = parser.parse_args().output
    torch.set_num_threads(1)

    model = train(period(N_TRAIN))
    grid = period(1001)
    with torch.no_grad():
        error = np.abs(model(torch.from_numpy(grid)).numpy() - np.sin(grid)).max()
    print(f"{sum(p.numel() for p in model.parameters())} parameters, largest error {error:.4f}")

    export(model, folder / "sine.onnx")
    np.savez_compressed(folder / "sine_calib.npz", x=period(N_CALIB))


if __name__ == "__main__":
    main()
