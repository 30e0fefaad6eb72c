"""The cases of test_ref.py, test_dsp.py, test_lanes.py and test_small.py again: on emulated cores, and on the host
under the address sanitizer.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.layers import Layer
from tests.c import cases, emulated, recurrent, test_dsp, test_lanes, test_ref, test_small
from tests.c.harness import INCLUDES, archive, build
from tests.c.record import Recorder
from tests.ops.graphs import CASES
from tinygen.ops import Operator

TARGET = Path(__file__).resolve().parent / "target"
Require = Callable[[str], None]


@pytest.fixture(scope="module")
def recorders(tmp_path_factory: pytest.TempPathFactory, require_tool: Require) -> dict[str, Recorder]:
    require_tool("gcc")
    lib = build(tmp_path_factory.mktemp("kernels"))
    ref, dsp, lanes = Recorder(lib, 2500), Recorder(lib, 4000), Recorder(lib, 1500)
    small = Recorder(lib, 4000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(test_ref, "SEEDS", range(5))
        patch.setattr(test_dsp, "SEEDS", range(20))
        patch.setattr(test_lanes, "SEEDS", range(40))
        for make in (cases.conv_case, cases.pointwise_case):
            test_ref.test_conv(ref, make)
        for operator in test_ref.OPERATORS:
            test_ref.test_elementwise(ref, *operator)
            test_ref.test_broadcast(ref, *operator)
        for name in (
            "dwconv",
            "conv_transpose",
            "dense",
            "lut",
            "prelu",
            "pools",
            "reductions",
            "lengths",
            "softmax",
            "softmax16",
            "argmax",
        ):
            getattr(test_ref, f"test_{name}")(ref)
        for bits in (8, 16):
            test_ref.test_norm(ref, bits)
            test_ref.test_matmul(ref, bits)
            test_ref.test_attention(ref, bits)
        for name in ("copy", "fill_and_gather", "lookup", "insert", "resize", "rescale32"):
            getattr(test_ref, f"test_{name}")(ref)
        usual, ref.limit = ref.limit, 7000  # tables of gates
        for kind in recurrent.GATES:
            for bits in (8, 16):
                test_ref.test_recurrent(ref, kind, bits)
        ref.limit = usual
        for make in (test_dsp.one_group, cases.pointwise_case):
            test_dsp.conv_sweep(dsp, make, 8)
        test_dsp.test_dense(dsp)
        for bits in (8, 16):
            test_dsp.test_norm(dsp, bits)
        test_dsp.test_softmax(dsp)
        usual = dsp.limit
        for bits, dsp.limit in ((8, 6000), (16, 2500)):  # keys and values of a head
            test_dsp.test_attention(dsp, bits)
        dsp.limit = usual
        test_dsp.dwconv_sweep(dsp, square=False, at_least=5)
        patch.setattr(test_dsp, "SEEDS", range(100))
        test_dsp.dwconv_sweep(dsp, square=True, at_least=3)
        for make in (cases.conv_case, cases.pointwise_case):
            test_lanes.sweep(lanes, make, 20)
        test_lanes.test_a_lane_at_minus_2_to_the_15(lanes)
        for x_value in (-128, None):
            test_lanes.test_lanes_at_their_limits(lanes, 12, 127, x_value)
            test_lanes.test_lanes_at_their_limits(lanes, 12, None, x_value)
        patch.setattr(test_small, "SEEDS", range(10))
        test_small.test_add(small)
        for make in (cases.dense_case, test_small.wide_dense_case):
            test_small.test_dense(small, make)
        for make in (test_small.dwconv_case, test_small.square_case, test_small.column_case):
            test_small.test_dwconv(small, make)
        for shift in (20, 21, 42, 43):
            test_small.test_dwconv_requantises_at_the_ends_of_the_shift(small, shift)
    return {"ref": ref, "dsp": dsp, "lanes": lanes, "small": small}


BOARDS = {
    # QEMU's micro:bit is a real Armv6-M: an unaligned access faults there
    "cortex-m0": ("microbit", ["ref", "lanes", "small"]),
    "cortex-m3": ("mps2-an385", ["ref", "lanes", "small"]),
    "cortex-m4": ("mps2-an386", ["ref", "dsp"]),
    "cortex-m7": ("mps2-an500", ["ref", "dsp"]),
}


def test_every_reference_kernel_is_recorded(recorders: dict[str, Recorder]) -> None:
    """The int8 kernels that operators call, each by a test of test_ref.py in the list above."""
    called: set[str] = set()
    for name, case in CASES:
        graph = Layer(name, case.op, case.inputs).graph()
        for node in graph.nodes:
            assert isinstance(node.op, Operator)
            called |= {call.kernel for call in node.op.lower(graph.ins(node), graph.outs(node))}
    assert len(called) > 20
    assert called - recorders["ref"].kernels == set(), "no test of test_ref.py in `recorders` calls them"


@pytest.mark.parametrize("level", ["-O2", "-Os"])
@pytest.mark.parametrize("core", BOARDS)
def test_emulated(core: str, level: str, recorders: dict[str, Recorder], require_tool: Require, tmp_path: Path) -> None:
    require_tool("arm-none-eabi-gcc")
    require_tool("qemu-system-arm")
    machine, sets = BOARDS[core]
    for name in sets:
        elf, main = tmp_path / "a.elf", tmp_path / "main.c"
        main.write_text(recorders[name].program(), encoding="utf-8")
        flags = ["-std=c99", level, f"-mcpu={core}", "-mthumb", "-ffunction-sections"]
        link = ["-nostartfiles", "-Wl,--gc-sections", "-T", str(TARGET / "link.ld"), "-o", str(elf)]
        files = [str(TARGET / "startup.c"), str(main), str(archive(tmp_path, "arm-none-eabi-gcc", flags))]
        subprocess.run(["arm-none-eabi-gcc", *flags, *INCLUDES, *files, *link], check=True)
        options = [
            "-nographic",
            "-monitor",
            "none",
            "-serial",
            "none",
            "-semihosting-config",
            "enable=on,target=native",
        ]
        run = ["qemu-system-arm", "-M", machine, *options, "-kernel", str(elf)]
        status = subprocess.run(run, timeout=60, check=False).returncode
        assert status == 0, f"{name}: case {recorders[name].cases[min(status, len(recorders[name].cases)) - 1][0]}"


@pytest.mark.parametrize("level", ["-O2", "-Os"])
def test_interrupted(level: str, recorders: dict[str, Recorder], require_tool: Require, tmp_path: Path) -> None:
    """With an FPU, and so with whole functions in assembly."""
    require_tool("arm-none-eabi-gcc")
    require_tool("qemu-system-arm")
    emulated.with_interrupts(recorders["dsp"], "m4", level, tmp_path)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("name", ["ref", "dsp", "lanes", "small"])
def test_sanitizers(
    name: str, compiler: str, recorders: dict[str, Recorder], require_tool: Require, tmp_path: Path
) -> None:
    require_tool(compiler)
    emulated.sanitized(recorders[name], compiler, tmp_path)
