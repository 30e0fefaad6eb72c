"""Activations in planes: between whom, never where anybody else looks; and faults in such networks named rightly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

from tests.emit.library import link_symbols, quantised
from tests.emit.nets import Net
from tinygen import simulate
from tinygen.build.qemu import run_qemu
from tinygen.build.toolchain import compile_program, find_toolchain
from tinygen.emit.library import render_library
from tinygen.emit.programs import render_harness
from tinygen.emit.stamp import plain
from tinygen.errors import VerifyError
from tinygen.flow import verify
from tinygen.flow.library import make_library, model_view
from tinygen.flow.types import Calibration
from tinygen.plan import planar
from tinygen.plan.planner import plan
from tinygen.plan.types import Plan, PlannedCall
from tinygen.targets.cores import get_core

Need = Callable[[str], None]
AROUND = {"pads": [1, 1, 1, 1]}
CALIBRATION = Calibration(method="minmax")


def separable(kernel: int = 3, *, output: bool = False, twice: bool = False, end: bool = False) -> ModelProto:
    """Stem, depthwise, pointwise, depthwise of stride 2, pointwise. `output`: the stem's output is one of the network;
    `twice`: a second layer reads it; `end`: the network ends with the first depthwise layer's input."""
    n = Net(7)
    stem = n.op("Relu", n.conv(n.input("image", 1, 3, 12, 9), 3, 8, (3, 3), **AROUND), name="/stem/Relu")
    if end:
        return n.model(stem)
    pads = {"pads": [kernel // 2] * 4}
    x = n.op("Relu", n.conv(stem, 8, 8, (kernel, kernel), groups=8, name="/dw1/Conv", **pads))
    x = n.op("Relu", n.conv(x, 8, 16, (1, 1), name="/pw1/Conv"))
    x = n.op("Relu", n.conv(x, 16, 16, (3, 3), groups=16, strides=[2, 2], name="/dw2/Conv", **AROUND))
    x = n.conv(x, 16, 4, (1, 1), name="/pw2/Conv")
    others = [stem] if output else []
    if twice:
        others = [n.conv(stem, 8, 2, (1, 1), name="/second/Conv")]
    return n.model(x, *others)


def planes_of(model: ModelProto, core: str = "cortex-m4", optimize: str = "balanced") -> list[str]:
    """Names of the steps whose outputs lie in planes."""
    made = plan(quantised(model, "separable").fixed, get_core(core), optimize)
    return [step.name for step in made.steps if step.outputs[0].planes is not None]


def test_between_a_convolution_and_a_depthwise_layer() -> None:
    first, second = planes_of(separable())
    assert second.startswith("pw1")
    assert first != second
    assert planes_of(separable(), "cortex-m7") == [first, second]


def test_where_nobody_asks_for_planes() -> None:
    assert planes_of(separable(end=True)) == []
    assert planes_of(separable(), optimize="size") == []
    assert planes_of(separable(), "cortex-m55") == []
    assert planes_of(separable(), "cortex-m3") == []


def test_reader_must_agree() -> None:
    """No kernel on planes takes 5 x 5; the other layer is as it was."""
    assert [name[:3] for name in planes_of(separable(5))] == ["pw1"]


def test_maker_must_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """When no kernel of the maker writes planes, nobody reads them."""
    usual = planar.candidates
    monkeypatch.setattr(planar, "candidates", lambda c, sets: () if c.y_planes is not None else usual(c, sets))
    assert planes_of(separable()) == []


@pytest.mark.parametrize("given", [{"output": True}, {"twice": True}], ids=["output", "two readers"])
def test_others_see_a_dense_tensor(given: dict[str, bool]) -> None:
    assert [name[:3] for name in planes_of(separable(**given))] == ["pw1"]


def test_every_reader_of_planes_knows() -> None:
    """Calls that read a tensor in planes are told, and so are those that write it; its buffer has room."""
    made = plan(quantised(separable(), "separable").fixed, get_core("cortex-m4"))
    planes = {w.tensor: w.planes for step in made.steps for w in step.outputs if w.planes is not None}
    for call in (c.call for step in made.steps for c in step.calls if c.call.kernel != "tg_pad_planes_s8"):
        assert call.x_planes == planes.get(call.inputs[0])
        assert call.y_planes == planes.get(call.output)
    for step in made.steps:
        (written,) = step.outputs
        if written.planes is not None:
            assert written.place.size == written.planes.size
            assert [c.call.kernel for c in step.calls][-1] == "tg_pad_planes_s8"


def test_planes_are_where_they_say() -> None:
    """Every element has a byte of its own, inside, and the order is that of the axes."""
    for swap in (False, True):
        rows, cols = (5, 3) if swap else (3, 5)
        planes = planar.Planes(rows, cols, 2, cols + 1, 1, swap)
        at = planes.place(np.zeros((3, 5, 2)))
        assert len(set(at.ravel().tolist())) == 30
        assert at[0, 0, 0] == 1
        assert at.max() < planes.size - 3
        assert (at[1, 0, 0] - at[0, 0, 0], at[0, 1, 0] - at[0, 0, 0]) == ((1, 4) if swap else (6, 1))
        assert at[0, 0, 1] - at[0, 0, 0] == planes.plane


def broken(made: Plan, name: str, word: int) -> Plan:
    """One word of the constants of step `name` is wrong."""

    def harmed(planned: PlannedCall) -> PlannedCall:
        if not planned.call.consts:
            return planned
        first, *rest = planned.call.consts
        array = first.array.copy()
        array.ravel()[word] ^= 0x00400040
        return replace(planned, call=replace(planned.call, consts=(replace(first, array=array), *rest)))

    steps = [replace(s, calls=tuple(map(harmed, s.calls))) if s.name == name else s for s in made.steps]
    return replace(made, steps=tuple(steps))


@pytest.mark.parametrize("at", range(5))
def test_fault_is_found_in_its_layer(at: int, require_tool: Need) -> None:
    """A wrong weight in any layer, before, in and behind planes, is laid to that layer."""
    require_tool("gcc")
    q = quantised(separable(), "separable")
    made = plan(q.fixed, get_core("cortex-m4"))
    assert [s.outputs[0].planes is not None for s in made.steps] == [True, False, True, False, False]
    inputs = verify.make_inputs(q.fixed, simulate.quantise_inputs(q.fixed, [x[:4] for x in q.samples.inputs]))
    expected = simulate.run(q.fixed, inputs)
    if at == 0:
        verify.verify_plan(q, made, "native", inputs, expected)
    step = made.steps[at]
    with pytest.raises(VerifyError, match=f"the first layer that differs is {step.name} "):
        verify.verify_plan(q, broken(made, step.name, 3), "native", inputs, expected)


def test_kernels_in_ram(tmp_path: Path, require_tool: Need) -> None:
    """TG_KERNEL_SECTION moves every kernel, also those made for a layer, to the memory of data; the bits stay."""
    require_tool("arm-none-eabi-gcc")
    require_tool("qemu-system-arm")
    core, q = get_core("cortex-m4"), quantised(separable(), "separable")
    made = plan(q.fixed, core)
    files = render_library(make_library(made, q))
    inputs = verify.make_inputs(q.fixed, simulate.quantise_inputs(q.fixed, [x[:4] for x in q.samples.inputs]))
    (tmp_path / "in.bin").write_bytes(verify.sample_bytes(inputs))
    src = tmp_path / "src"
    src.mkdir()
    for name, content in {**files, "harness.c": render_harness(model_view(made))}.items():
        (src / name).write_bytes(content)
    flags = ['-DTG_KERNEL_SECTION=".ramfunc"']
    sources = sorted(src.glob("*.c"))
    program = compile_program(find_toolchain(core), core, sources, [src], tmp_path / "a.elf", extra_flags=flags)
    assert core.machine is not None
    result = run_qemu(core.machine, program.elf, tmp_path)
    assert (result.exit_code, result.fault) == (0, None), result.stdout + result.stderr
    assert (tmp_path / "out.bin").read_bytes() == verify.sample_bytes(simulate.run(q.fixed, inputs))
    where = {plain(name): address for name, address in link_symbols(program.elf).items()}
    ram = where["tg_data_start"]
    kernels = [*made.kernels, *(g.name for g in made.generated)]
    assert len(kernels) > 5
    assert all(where[name] >= ram for name in kernels)
    assert where["separable_run"] < ram
