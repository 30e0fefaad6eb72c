"""Train the digits network and write digits.onnx, digits_calib.npz and digits_test.npz beside this file.

    pip install '.[torch]' scikit-learn
    python examples/digits/train.py

About a minute on a laptop. Seeds are fixed; another version of PyTorch or another processor may still give
slightly different weights, so the three files are kept in the repository.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
import torch
from sklearn.datasets import load_digits
from torch import nn

SEED = 0
N_TEST = 360  # a fifth of the 1797 images
N_CALIB = 200
EPOCHS = 120
BATCH = 64


def conv_bn_relu(c_in: int, c_out: int, kernel: int, *, groups: int = 1) -> nn.Sequential:
    """Convolution that keeps the image size, batch normalisation, ReLU."""
    conv = nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(c_out), nn.ReLU())


class Digits(nn.Module):
    """Two depthwise-separable blocks behind a plain convolution: (N, 1, 8, 8) to ten logits."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn_relu(1, 8, 3)
        self.depthwise1 = conv_bn_relu(8, 8, 3, groups=8)
        self.pointwise1 = conv_bn_relu(8, 16, 1)
        self.pool = nn.MaxPool2d(2)
        self.depthwise2 = conv_bn_relu(16, 16, 3, groups=16)
        self.pointwise2 = conv_bn_relu(16, 32, 1)
        self.classifier = nn.Linear(32, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.pointwise1(self.depthwise1(self.stem(image)))
        x = self.pointwise2(self.depthwise2(self.pool(x)))
        logits: torch.Tensor = self.classifier(x.mean(dim=(2, 3)))
        return logits


def load() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Train and test part of the images, scaled from 0..16 to 0..1: x (n, 1, 8, 8) float32, y (n,) int64."""
    digits = load_digits()
    x = (digits.images[:, None] / 16.0).astype(np.float32)
    y = digits.target.astype(np.int64)
    order = np.random.default_rng(SEED).permutation(len(x))
    train, test = order[N_TEST:], order[:N_TEST]
    return x[train], y[train], x[test], y[test]


def shifted(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A third of the batches moved by one pixel: more data for nothing."""
    if torch.rand((), generator=generator) > 1 / 3:
        return x
    dy, dx = torch.randint(-1, 2, (2,), generator=generator).tolist()
    padded = nn.functional.pad(x, (1, 1, 1, 1))
    return padded[:, :, 1 + dy : 9 + dy, 1 + dx : 9 + dx]


def train(x: np.ndarray, y: np.ndarray) -> Digits:
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)
    model = Digits()
    xs, ys = torch.from_numpy(x), torch.from_numpy(y)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=1e-3)
    steps = EPOCHS * -(-len(xs) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=1e-2, total_steps=steps)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.05)
    model.train()
    for _ in range(EPOCHS):
        for index in torch.randperm(len(xs), generator=generator).split(BATCH):
            optimiser.zero_grad()
            loss_of(model(shifted(xs[index], generator)), ys[index]).backward()
            optimiser.step()
            schedule.step()
    return model.eval()


def export(model: nn.Module, path: Path) -> None:
    """Write opset 13 and drop what would tie the file to this machine (stack traces, source paths)."""
    torch.onnx.export(
        model,
        (torch.zeros(1, 1, 8, 8),),
        str(path),
        dynamo=False,
        opset_version=13,
        input_names=["image"],
        output_names=["logits"],
    )
    proto = onnx.load(path)
    proto.graph.name = "digits"
    for part in (proto, proto.graph, *proto.graph.node):
        part.doc_string = ""
        del part.metadata_props[:]
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder of the three files")
    folder: Path = parser.parse_args().output
    torch.set_num_threads(1)

    x_train, y_train, x_test, y_test = load()
    model = train(x_train, y_train)
    with torch.no_grad():
        correct = (model(torch.from_numpy(x_test)).argmax(1).numpy() == y_test).sum()
    print(f"{sum(p.numel() for p in model.parameters())} parameters, test accuracy {correct}/{len(y_test)}")

    export(model, folder / "digits.onnx")
    np.savez_compressed(folder / "digits_calib.npz", x=x_train[:N_CALIB], y=y_train[:N_CALIB])
    np.savez_compressed(folder / "digits_test.npz", x=x_test, y=y_test)


if __name__ == "__main__":
    main()
