"""Fine-tuning and distillation with PyTorch: `pip install tinygen[train]`.

Importing this package needs no torch; calling its functions does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from tinygen.calibrate.data import Samples
from tinygen.compress.network import Network
from tinygen.compress.train.settings import Training
from tinygen.errors import MissingToolError
from tinygen.ir.types import Graph, Quant
from tinygen.numerics import Array
from tinygen.progress import Progress, no_progress


def fine_tune(
    network: Network,
    teacher: Graph | None,
    samples: Samples,
    settings: Training,
    *,
    progress: Progress = no_progress,
    checkpoint: Path | None = None,
    quants: Mapping[str, Quant] = MappingProxyType({}),
) -> Network:
    """The network with weights trained to answer as `teacher` (a FLOAT graph) does, or as the labels say.

    Weight forms hold throughout: zeros of masks stay, layers of few bits or with a codebook come back on their grids,
    their scales pinned, so that `pin_weights` changes nothing. With `settings.quantise` all weights and activations
    come back pinned to what training saw; `quants` gives quantisations of activations that are then not looked for.
    `checkpoint`: written after every epoch; where it exists, training goes on from it, to the same result.
    DataError without teacher and labels; TrainingError when the loss is no number any more, or for a checkpoint of
    another run; MissingToolError without torch.
    """
    need_torch()
    from tinygen.compress.train.trainer import Trainer

    with _repeatable():
        return Trainer(network, teacher, samples, settings, quants).run(progress, checkpoint)


def taylor_scores(
    network: Network, teacher: Graph | None, samples: Samples, settings: Training, *, progress: Progress = no_progress
) -> Mapping[str, Array]:
    """How much each channel of each activation matters: tensor name to (channels,), of the last axis.

    The mean over samples of (sum over positions of gradient * value)^2: to first order, what clearing the channel does
    to the loss, squared (Molchanov et al. 2019, Importance Estimation for Neural Network Pruning, equation 8, with
    activations for weights). The loss is that of answers drawn from the distribution of the teacher (None: its own),
    softened by `settings.temperature`: its mean is the Fisher information (Theis et al. 2018, Fisher pruning, section
    2.1), which also exists where the network equals its teacher and the distance between them has no slope. No labels
    are needed. MissingToolError without torch.
    """
    need_torch()
    from tinygen.compress.train.scores import channel_scores

    with _repeatable():
        return channel_scores(network, teacher, samples, settings, progress)


def need_torch() -> None:
    """MissingToolError that says what to install, if torch is not there."""
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingToolError(
            "fine-tuning needs PyTorch, which is not installed. Install it with: pip install tinygen[train]"
        ) from error


@contextmanager
def _repeatable() -> Iterator[None]:
    """Kernels that are deterministic, where torch has them, and one thread: how sums are cut into parts, and so their
    last bits, else depends on the number of cores. Layers of microcontrollers are too small for more anyway."""
    import torch

    def use(deterministic: bool, threads: int) -> None:
        # torch.use_deterministic_algorithms is this, and an import of torch's compiler that takes four seconds.
        torch._C._set_deterministic_algorithms(deterministic, warn_only=True)
        torch.set_num_threads(threads)

    before = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    use(True, 1)
    try:
        yield
    finally:
        use(*before)


__all__ = ["Progress", "Training", "fine_tune", "need_torch", "taylor_scores"]
