"""Seeded single layers through every kernel that can compute them, on every emulated core, equal to numpy.

The normal suite takes a few layers; `make sweep` takes all, prints what ran how often, and repeats a seed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.emulate import Program
from tests.sweep.layers import FAMILIES, single
from tests.sweep.programs import TARGETS, Target, checks, different
from tests.sweep.sweep import LAYERS, sweep

FEW = 60
#: Of 480 layers.
LEAST_VARIED = 270


@pytest.fixture(autouse=True)
def _tools(require_tool: Callable[[str], None]) -> None:
    for tool in ("gcc", "arm-none-eabi-gcc", "qemu-system-arm"):
        require_tool(tool)


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
def test_few(target: Target) -> None:
    result = sweep(range(FEW), [target], jobs=1)
    assert not result.faults, "\n".join(result.faults)
    outcome = result.outcomes[target.name]
    assert outcome.calls >= FEW
    assert bool(outcome.interrupts) == target.interrupted


@pytest.mark.slow
def test_all(capsys: pytest.CaptureFixture[str]) -> None:
    result = sweep(range(LAYERS), TARGETS)
    with capsys.disabled():
        print(f"\n{result.table()}")
    assert not result.faults, "\n".join(result.faults)
    assert not result.never, "\n".join(result.never)


def test_a_seed_is_a_layer() -> None:
    """The same seed, the same integers; different seeds, different shapes."""
    for seed in range(len(FAMILIES)):
        a, b = single(seed), single(seed)
        assert a.graph.nodes == b.graph.nodes
        assert a.graph.tensors == b.graph.tensors
        assert np.array_equal(a.wanted, b.wanted)
    shapes = Counter(str([t.shape for t in single(s).graph.tensors.values()]) for s in range(480))
    assert len(shapes) > 400


def test_outputs_tell_kernels_apart() -> None:
    """Most outputs are no constant: a layer that saturates everywhere would hide a wrong sum."""
    varied = sum(len(np.unique(single(seed).wanted)) > 8 for seed in range(480))
    assert varied >= LEAST_VARIED


def test_wrong_bytes_are_found() -> None:
    """One byte of an output changed, and one byte behind it."""
    batch = [check for seed in range(4) for check in checks(single(seed), ("ref",))]
    program = Program("cortex-m4", [c.case for c in batch])
    right = np.zeros(program.plan.outputs[0].length, np.int8)
    for check, (at, *_) in zip(batch, program.at, strict=True):
        right[at : at + check.wanted.size] = check.wanted
    assert different(batch, program, right.tobytes()) == []
    for behind, text in ((-1, "differs"), (1, "writes outside")):
        wrong = right.copy()
        wrong[program.at[1][0] + batch[1].wanted.size + behind] += 1
        (found,) = different(batch, program, wrong.tobytes())
        assert found.startswith(text)
        assert str(batch[1]) in found
