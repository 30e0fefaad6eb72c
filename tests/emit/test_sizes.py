"""The figures of the report against figures taken from the tools in another way."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.emit.library import run
from tests.emit.nets import NETS
from tinygen.build.toolchain import compile_program, find_toolchain
from tinygen.emit.programs import render_harness
from tinygen.flow.build import build_folder
from tinygen.flow.library import model_view
from tinygen.flow.quantised import load
from tinygen.flow.types import Built, Calibration, Library, Target
from tinygen.report import build as build_report
from tinygen.targets.board import load_board

#: Sections of an object that take flash. `*fill*` of the linker between them is nobody's.
FLASH = (".text", ".rodata", ".data", ".ARM.exidx")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], None]) -> Built:
    require_tool("arm-none-eabi-gcc")
    require_tool("qemu-system-arm")
    folder = tmp_path_factory.mktemp("sizes")
    (folder / "mixed.onnx").write_bytes(NETS["mixed"]().SerializeToString())
    target = Target(load_board("nucleo_f446re"))
    return build_folder(load(folder / "mixed.onnx"), folder / "out", target, Calibration(method="minmax"))


def link(built: Built, folder: Path) -> tuple[Path, list[Path], list[tuple[str, str]]]:
    """The program that was measured: the ELF, the model's objects, and (section, object) that the linker dropped."""
    src = folder / "src"
    src.mkdir()
    stem = f"lib/{built.plan.name}/src/"
    own = {n.removeprefix(stem): c for n, c in built.files.items() if n.startswith(stem)}
    for name, content in {**own, "harness.c": render_harness(model_view(built.plan))}.items():
        (src / name).write_bytes(content)
    core = built.board.core
    program = compile_program(
        find_toolchain(core), core, sorted(src.glob("*.c")), [src], folder / "verify.elf", link_map=True
    )
    assert program.map_file is not None
    dropped = program.map_file.read_text().split("Discarded input sections")[1].split("Memory Configuration")[0]
    gone = re.findall(r"^ (\.\S+)\s+0x0+\s+0x[0-9a-f]+ (\S+)$", dropped, re.M)
    objects = [o for o in program.objects if o.name.removesuffix(".o") in own]
    return program.elf, objects, [(section, Path(name).name) for section, name in gone]


def test_flash_is_the_sum_of_the_objects_sections(built: Built, tmp_path: Path) -> None:
    """`arm-none-eabi-size -A` of every object, less what the linker dropped."""
    _, objects, gone = link(built, tmp_path)
    expected = {"code": 0, "rodata": 0}
    for o in objects:
        rows = re.findall(r"^(\.\S+)\s+(\d+)\s+\d+", run("arm-none-eabi-size", "-A", o), re.M)
        for section, size in rows:
            if section.startswith(FLASH) and (section, o.name) not in gone:
                expected["code" if section.startswith(".text") else "rodata"] += int(size)
    found = build_report.as_dict(built)["flash"]
    assert found["code"] == expected["code"]
    # .rodata may be smaller than its parts: equal strings and constants are merged. There are none.
    assert found["rodata"] == expected["rodata"]
    assert found["total"] == found["code"] + found["rodata"] + found["libraries"]
    assert 0 < found["constants"] <= found["rodata"]


def test_flash_fits_into_the_whole_image(built: Built, tmp_path: Path) -> None:
    """With start-up and harness it is what the ELF takes: no byte twice, none forgotten."""
    elf, _, _ = link(built, tmp_path)
    text, data, bss = (int(v) for v in run("arm-none-eabi-size", elf).splitlines()[1].split()[:3])
    assert built.sizes is not None
    assert built.sizes.flash_total == text + data
    parts = (built.sizes.flash_model, built.sizes.flash_libgcc, built.sizes.flash_libc, built.sizes.flash_other)
    assert sum(parts) == built.sizes.flash_total
    assert min(parts) >= 0
    assert built.sizes.ram_total <= data + bss + built.sizes.ram_other


def test_ram(built: Built) -> None:
    """Nothing static; arena as in the header; the stack a plausible measurement; buffers as long as the tensors."""
    ram = build_report.as_dict(built)["ram"]
    assert ram["static"] == 0
    assert 32 < ram["stack"] < 2048
    assert ram["input_output"] == 4 * 6 * 6 + built.plan.outputs[0].length + 3
    header = built.files["lib/mixed/src/mixed.h"].decode()
    assert f"#define MIXED_ARENA_LEN {ram['arena']}U" in header
    assert ram["arena"] % 16 == 0


def test_static_arena_is_counted(tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    require_tool("arm-none-eabi-gcc")
    require_tool("qemu-system-arm")
    (tmp_path / "dense.onnx").write_bytes(NETS["dense"]().SerializeToString())
    target = Target(load_board("nucleo_f446re"), library=Library(static_arena=True))
    done = build_folder(load(tmp_path / "dense.onnx"), tmp_path / "out", target, Calibration(method="minmax"))
    ram = build_report.as_dict(done)["ram"]
    assert ram["static"] in (0, ram["arena"])  # 0: the harness has a context of its own and the linker drops ours
    assert json.loads(done.files["certificate.json"])["options"]["arena"] == "static"


def test_too_small_a_board_is_refused_with_figures(tmp_path: Path) -> None:
    from tests.emit.nets import Net
    from tinygen.errors import TargetError

    net = Net()
    model = net.model(net.dense(net.input("x", 1, 600), 600, 600))
    (tmp_path / "large.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(TargetError, match=r"flash: 36\d,\d{3} bytes needed .* 262,144 there"):
        build_folder(load(tmp_path / "large.onnx"), tmp_path / "out", Target(load_board("bbcmicrobit")))
    assert not (tmp_path / "out").exists()
    assert np.all([p.name == "large.onnx" for p in tmp_path.iterdir()])
