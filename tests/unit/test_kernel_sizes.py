"""The recorded kernel sizes cover every kernel on every core."""

from __future__ import annotations

from tinygen.emit.resources import templates_dir
from tinygen.targets.cores import CORES
from tinygen.targets.kernel_sizes import code_bytes


def test_every_kernel_has_a_size() -> None:
    """When this fails, run `python -m benchmarks.kernel_sizes`."""
    for core in CORES:
        if core.machine is None:
            continue
        for kernel_set in core.kernel_sets:
            for source in sorted((templates_dir() / "kernels" / kernel_set).glob("*.c")):
                assert code_bytes(core.name, [source.stem]) > 0
