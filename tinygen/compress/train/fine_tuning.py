"""Fine-tuning as a technique: what the recipe says about it, and its place behind all that moves weights."""

from __future__ import annotations

from tinygen.compress.network import Network
from tinygen.compress.technique import Option, Technique, Work
from tinygen.compress.train.settings import Training


def _apply(work: Work, network: Network, _: Training | None) -> Network:
    return work.train(network, "final")


TECHNIQUE = Technique(
    "training",
    Training,
    "training",
    _apply,
    options=(
        Option("--epochs", int, "Fine-tune so many epochs, with MODEL as the teacher.", "epochs"),
        Option("--labels", float, "How much labels count beside the teacher, 0 to 1.", "label_weight"),
        Option("--learning-rate", float, "Of the fine-tuning.", "learning_rate"),
    ),
    hidden=("seed",),  # the recipe's
)
