"""What the user may set about fine-tuning. Needs no torch, so that recipes and the command line can be read without."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args

from tinygen.compress.checks import one_of, within

Loss = Literal["auto", "classes", "values"]


@dataclass(frozen=True, slots=True)
class Training:
    """Settings of `fine_tune`.

    epochs: passes over the samples.
    learning_rate: of Adam, as a share of each output channel's root mean square weight, so that it means the same for
        every layer; warms up, then falls along a cosine to nothing.
    batch: samples in a step.
    temperature: divides the logits of student and teacher before their distributions are compared.
    label_weight: 0 (only the teacher) to 1 (only the labels), where there are labels.
    loss: "classes" compares distributions of the logits, "values" outputs by mean square error; "auto" looks for a
        final Softmax or for labels that are class numbers.
    weight_decay: AdamW's, a share of the weights for each step of learning rate 1.
    warm_up: share of the steps in which the learning rate rises.
    average: decay of the moving average of the weights that is returned; 0: the last weights.
    seed: of the order of samples and of everything random.
    mixup: share of the batches in which pairs of inputs are blended; the teacher answers for the blend.
    noise: standard deviation of noise added to the inputs, as a share of the input's own.
    shift: inputs are moved by up to so many positions along their rows and columns, the edge repeated.
    mirror: half of the inputs are mirrored along their columns: for data whose mirror image is as likely.
    quantise: activations and weights pass through int8 during training, as on the chip.
    float_share: share of the epochs before activations are quantised and weights snapped to their forms.
    learn_entries: entries of codebooks move as well.
    gradual: share of the epochs over which the zeros of masks come, the smallest weights first; 0: the masks as given.
    """

    epochs: int = 10
    learning_rate: float = 0.01
    batch: int = 64
    temperature: float = 2.0
    label_weight: float = 0.0
    loss: Loss = "auto"
    weight_decay: float = 0.0
    warm_up: float = 0.05
    average: float = 0.0
    seed: int = 0
    mixup: float = 0.0
    noise: float = 0.0
    shift: int = 0
    mirror: bool = False
    quantise: bool = False
    float_share: float = 0.0
    learn_entries: bool = True
    gradual: float = 0.0

    def __post_init__(self) -> None:
        """RecipeError names the setting, what was found and what is allowed."""
        for name, low, high in _BOUNDS:
            within(f"training.{name}", getattr(self, name), low, high)
        one_of("training.loss", self.loss, get_args(Loss))

    def describe(self) -> str:
        return f"{self.epochs} epochs"

    def by_name(self) -> dict[str, object]:
        """All settings, for checkpoints."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @property
    def augments(self) -> bool:
        """Inputs differ from epoch to epoch, so the teacher answers anew each time."""
        return bool(self.mixup or self.noise or self.shift or self.mirror)


_BOUNDS = (
    ("epochs", 1, 1e6), ("learning_rate", 1e-8, 10.0), ("batch", 1, 1e6), ("temperature", 1e-3, 1e3),
    ("label_weight", 0.0, 1.0), ("weight_decay", 0.0, 1e3), ("warm_up", 0.0, 1.0), ("average", 0.0, 1.0 - 1e-6),
    ("seed", 0, 2.0**63 - 1), ("mixup", 0.0, 1.0), ("noise", 0.0, 100.0), ("shift", 0, 1000),
    ("float_share", 0.0, 1.0), ("gradual", 0.0, 1.0),
)  # fmt: skip
