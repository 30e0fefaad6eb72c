"""Random networks: every one means what its ONNX file means, and gives the same bits in numpy, in C on this computer
(address and undefined-behaviour sanitizers), and on an emulated Cortex-M4; some on a Cortex-M0 and M55 too.

The normal suite takes the first seeds; `make random` takes all. `python -m tests.random SEED` repeats one.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.random.batch import missing_tools, run_batch
from tests.random.flow import CORES
from tests.random.generator import LATER, generate, operators
from tinygen.frontend.registry import supported_ops

NORMAL = 12
ALL = 500
BATCH = 12
SLOW_BATCH = 25
#: Later seeds: recurrent layers, attention, choices.
LATER_NORMAL = 8
LATER_ALL = 1000
#: And on the cores with kernels of their own, or none.
OTHERS = ("cortex-m0", "cortex-m55")
OTHERS_ALL = 200

#: Supported operators that the seeds do not hold, and where they are tested instead.
NOT_GENERATED: dict[str, str] = {
    "Scatter": "tests/frontend/test_handlers.py",  # before opset 11, like the next
    "Einsum": "tests/frontend/test_einsum.py",
    "If": "tests/frontend/test_handlers.py",
    **dict.fromkeys(("Loop", "Scan"), "tests/frontend/test_loops.py"),
    "TensorScatter": "tests/flow/test_states.py",
    "Upsample": "tests/frontend/test_opsets.py",
    **dict.fromkeys(
        (f"com.microsoft:{name}" for name in ("FusedConv", "QLinearConv", "QLinearReduceMean", "QLinearWhere")),
        "tests/frontend/test_quantised.py",
    ),
}
#: Everything else must come up this often.
LEAST = 3


def _run(first: int, count: int, folder: Path, *, int16: bool = False, cores: Sequence[str] = CORES) -> None:
    tools = missing_tools()
    if tools and os.environ.get("CI"):
        pytest.fail(f"not on PATH: {', '.join(tools)}")
    outcome = run_batch(range(first, first + count), folder, emulate=not tools, int16=int16, cores=cores)
    print(outcome.table())
    assert not outcome.failures, "\n\n".join(outcome.failures)
    # A refusal for numerical reasons is legitimate, but never usual.
    refused = [f"{n.seed}: {n.refused}" for n in outcome.networks if n.refused]
    assert len(refused) <= max(1, count // 10), "\n".join(refused)


@pytest.mark.parametrize("first", range(0, NORMAL, BATCH))
def test_networks(first: int, tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    require_tool("gcc")
    _run(first, BATCH, tmp_path)


def test_networks_with_int16(tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    """Some of their activations, or all."""
    require_tool("gcc")
    _run(0, BATCH, tmp_path, int16=True)


def test_later_networks(tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    require_tool("gcc")
    _run(LATER, LATER_NORMAL, tmp_path, cores=(*CORES, OTHERS[0]))


def test_later_networks_with_int16(tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    require_tool("gcc")
    _run(LATER + LATER_NORMAL, LATER_NORMAL, tmp_path, int16=True, cores=OTHERS[1:])


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, ALL, SLOW_BATCH))
def test_many_networks_with_int16(first: int, tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    require_tool("gcc")
    _run(first, SLOW_BATCH, tmp_path, int16=True)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, ALL, SLOW_BATCH))
def test_many_networks(first: int, tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    require_tool("gcc")
    _run(first, SLOW_BATCH, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(LATER, LATER + LATER_ALL, SLOW_BATCH))
def test_many_later_networks(first: int, tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    """Every third batch with int16; the first ones on all cores."""
    require_tool("gcc")
    cores = (*CORES, *OTHERS) if first < LATER + OTHERS_ALL else CORES
    _run(first, SLOW_BATCH, tmp_path, int16=first // SLOW_BATCH % 3 == 2, cores=cores)


def coverage(seeds: Sequence[int]) -> tuple[Counter[str], Counter[int], Counter[int]]:
    """Operators, opsets and ranks of the inputs of the networks of `seeds`."""
    ops: Counter[str] = Counter()
    opsets: Counter[int] = Counter()
    ranks: Counter[int] = Counter()
    for seed in seeds:
        model = generate(seed)
        ops.update(operators(model))
        opsets[model.opset_import[0].version] += 1
        ranks.update(len(v.type.tensor_type.shape.dim) for v in model.graph.input)
    return ops, opsets, ranks


def test_every_operator_comes_up() -> None:
    seeds = [*range(ALL), *range(LATER, LATER + ALL)]
    ops, opsets, ranks = coverage(seeds)
    names = [o.onnx_name for o in supported_ops()]
    print(f"{len(seeds)} networks, {sum(ops.values())} nodes")
    print(f"opsets {dict(sorted(opsets.items()))}; ranks of inputs {dict(sorted(ranks.items()))}")
    rows = [f"{name:<42} {ops[name]:>5}" for name in names]
    half = -(-len(rows) // 2)
    print("\n".join(f"{a}    {b}" for a, b in zip(rows[:half], [*rows[half:], ""], strict=False)))
    missing = [n for n in names if ops[n] < LEAST and n not in NOT_GENERATED]
    assert not missing, f"too rare in {len(seeds)} networks: {', '.join(missing)}"
    stale = [n for n in NOT_GENERATED if n not in names or ops[n]]
    assert not stale, f"no longer missing: {', '.join(stale)}"
    where = {name: Path(__file__).parents[2] / place for name, place in NOT_GENERATED.items()}
    untested = [n for n, file in where.items() if f"{n.split(':')[-1]}" not in file.read_text(encoding="utf-8")]
    assert not untested, f"not in the file that is said to test them: {', '.join(untested)}"


def test_a_seed_is_a_network() -> None:
    """The same seed, the same bytes."""
    seeds = (3, 4, LATER, LATER + 1)
    assert [generate(s).SerializeToString() for s in seeds] == [generate(s).SerializeToString() for s in seeds]
