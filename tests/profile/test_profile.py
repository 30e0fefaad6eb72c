"""A whole build: figures that must agree with each other, and with those that others took another way."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from tests.profile.conftest import BOARD
from tests.report.schemas import valid
from tinygen import simulate
from tinygen.build.process import run
from tinygen.build.qemu import qemu_command
from tinygen.build.toolchain import find_host
from tinygen.emit.library import render_library
from tinygen.emit.view import library_view
from tinygen.errors import TargetError
from tinygen.flow import verify
from tinygen.flow.library import make_library
from tinygen.flow.quantised import quantised_file
from tinygen.flow.types import Built
from tinygen.plan.planner import plan
from tinygen.profile import Counts, measure, profile_plan
from tinygen.profile import folder as profile_module
from tinygen.profile.counter import add, count
from tinygen.profile.folder import profile_folder, read_build
from tinygen.profile.types import BoardTimes, BufferUse, Profile
from tinygen.report import build as build_report
from tinygen.report import profile as profile_report
from tinygen.report.profile_page import render_page
from tinygen.report.table import to_rich
from tinygen.targets.arch.arm_m.thumb import decode
from tinygen.targets.arch.arm_m.timing import M4
from tinygen.targets.arch.timing import Instruction, Kind, cycles
from tinygen.targets.board import RunPoint, Supply, all_boards
from tinygen.targets.cores import COUNTED_CORES, get_core
from tinygen.targets.flash import SILICON, caches_of, flash_of

SHARED = Path(os.environ.get("TINYGEN_SHARED") or Path(__file__).parents[2] / ".." / "shared").resolve()


def test_layers_add_up(built: Built, profile: Profile) -> None:
    assert add(layer.counts for layer in profile.layers) == profile.total
    assert [layer.name for layer in profile.layers] == [s.name for s in built.plan.steps]
    assert profile.macs == built.plan.macs
    assert max(layer.stack for layer in profile.layers) == profile.stack
    assert all(layer.counts.instructions > 0 for layer in profile.layers)


def test_same_again(folder: Path, profile: Profile) -> None:
    assert profile_folder(folder) == profile
    assert render_page(profile_folder(folder)) == render_page(profile)


def test_memory_is_that_of_the_build(built: Built, profile: Profile) -> None:
    """Flash to the byte as `build` says, which takes it from the linker in another way; stack, arena, constants."""
    assert profile.flash_use.total == build_report.flash_bytes(built)
    assert sum(profile.flash_use.constants.values()) == built.library.weight_bytes
    assert profile.stack == built.stack
    assert (profile.arena, profile.io) == (built.plan.arena_len, built.io_bytes)


@pytest.mark.parametrize("core", COUNTED_CORES)
def test_every_core(core: str, built: Built) -> None:
    """A core with a model has cycles; the trace of every layer's work is there; only instructions on the others."""
    p = plan(built.model.fixed, get_core(core))
    files = render_library(make_library(p, built.model))
    found = profile_plan(p, files, get_core(core))
    assert found.has_cycles == (get_core(core).timing is not None) == (found.total.cycles > 0)
    assert add(layer.counts for layer in found.layers) == found.total
    assert found == profile_plan(p, files, get_core(core))
    if found.has_cycles:
        assert found.total.cycles > found.total.instructions


def test_another_sample_gives_its_own_outputs(built: Built) -> None:
    core = get_core("cortex-m4")
    files = render_library(make_library(built.plan, built.model))
    rng = np.random.default_rng(5)
    inputs = [rng.integers(-128, 128, (1, *e.shape)).astype(np.int8) for e in built.plan.inputs]
    inputs = [
        x.reshape(1, *built.model.fixed.tensors[n].shape) for n, x in zip(built.model.fixed.inputs, inputs, strict=True)
    ]
    found = profile_plan(built.plan, files, core, sample=verify.sample_bytes(inputs))
    assert found.outputs == verify.sample_bytes(simulate.run(built.model.fixed, inputs))


@pytest.fixture
def against(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[Counts, Counts]]:
    """Counts by ../shared/emu/cyc.c and by ours of every program that is profiled from here on.

    It counts the caller's BL, whose two cycles belong to the caller here, and the caller's first block behind it. It
    takes a table branch for any other, where the manual has a cycle more, and VLDR and VSTR of a double for those of a
    word, and forgets at the start of a block that a load came before: ours counts a second time by these rules.
    """
    source = SHARED / "emu" / "cyc.c"
    if not source.is_file():
        pytest.skip(f"no {source} ($TINYGEN_SHARED, or ../shared)")
    other = tmp_path / "cyc.so"
    command = (*find_host().cc, "-w", "-O2", "-shared", "-fPIC", "-o", str(other), str(source))
    assert run(command, tmp_path, 60.0).exit_code == 0
    compared: list[tuple[Counts, Counts]] = []

    def both(machine: Any, elf: Path, image: Any, entry: str, *rest: Any, **options: Any) -> Any:
        spans, said = count(machine, elf, image, entry, *rest, **options)
        call, behind, extra = around_call(image, image.address(entry))
        done = run((*qemu_command(machine, elf), "-plugin", f"{other},begin={call},end={behind}"), rest[2], 60.0)
        words = re.search(r"interval 0 (.*)", done.stderr)
        assert words is not None, done.stderr
        pairs = words[1].split()
        said_there = dict(zip(pairs[::2], map(int, pairs[1::2]), strict=True))
        names = ("insns", "cycles", "loads", "stores", "branches_taken")
        insns, cycles_, loads, stores, taken = (said_there[n] - extra[n] for n in names)
        m4 = M4
        plain = replace(m4, cycles={k: n for k, n in m4.cycles.items() if k is not Kind.BRANCH_TABLE})
        rules = {"timing": plain, "carries": False, "decode": doubles_as_words}
        ours = add(count(machine, elf, image, entry, *rest, **{**options, **rules})[0])
        theirs = replace(ours, instructions=insns, cycles=cycles_, loads=loads, stores=stores, branches_taken=taken)
        compared.append((theirs, ours))
        return spans, said

    monkeypatch.setattr(measure, "count", both)
    return compared


def test_equals_the_independent_counter(folder: Path, against: list[tuple[Counts, Counts]]) -> None:
    profile_folder(folder)
    ((theirs, ours),) = against
    assert theirs == ours


@pytest.mark.shared
@pytest.mark.parametrize("name", ["ad01", "ic_resnet8", "kws_dscnn", "vww_mobilenetv1_025", "sww_str_ww"])
def test_equals_the_independent_counter_on_networks(name: str, against: list[tuple[Counts, Counts]]) -> None:
    core = get_core("cortex-m4")
    model = quantised_file(SHARED / "models" / f"{name}_tf_int8_qdq.onnx")
    p = plan(model.fixed, core)
    profile_plan(p, render_library(make_library(p, model)), core)
    ((theirs, ours),) = against
    assert theirs == ours


def doubles_as_words(first: int, second: int) -> Instruction:
    i = decode(first, second)
    if first & 0xFF20 != 0xED00 or second & 0x0F00 != 0x0B00:
        return i
    return Instruction(4, Kind.LOAD if i.loads else Kind.STORE, min(i.loads, 1), min(i.stores, 1))


def around_call(image: Any, target: int) -> tuple[int, int, dict[str, int]]:
    """Where main calls `target`, where it goes on, and what the other counter adds: the jump and the next block."""
    main = next(s for s in image.symbols if s.name == "main")
    ((start, code),) = image.code
    at = main.address

    def halfwords(address: int) -> tuple[int, int]:
        k = address - start
        return int.from_bytes(code[k : k + 2], "little"), int.from_bytes(code[k + 2 : k + 4], "little")

    while True:
        first, second = halfwords(at)
        s, j1, j2 = (first >> 10) & 1, (second >> 13) & 1, (second >> 11) & 1
        offset = (1 - (j1 ^ s)) << 23 | (1 - (j2 ^ s)) << 22 | (first & 0x3FF) << 12 | (second & 0x7FF) << 1
        if first & 0xF800 == 0xF000 and second & 0xD000 == 0xD000 and at + 4 + offset - (s << 24) == target:
            break
        at += decode(first, second).size
    behind = at + 4
    insns, taken, loads, stores, k = 0, M4.taken[decode(*halfwords(at)).kind], 0, 0, behind
    block = 0
    while True:
        i = decode(*halfwords(k))
        insns, block = insns + 1, block + cycles(M4, i)
        loads, stores, k = loads + i.loads, stores + i.stores, k + i.size
        if i.branches:
            break
    extra = {"insns": insns, "cycles": taken + block, "loads": loads, "stores": stores, "branches_taken": 1}
    return at, behind, extra


# --- flash ------------------------------------------------------------------------------------------------------------


def test_three_times(profile: Profile) -> None:
    """What never waits, what waits for flash, and the band of silicon: in the text, the page, and the document."""
    found, (low, likely, high) = profile.times, SILICON
    assert found.zero_wait == profile.milliseconds(profile.total.cycles)
    assert found.flash == profile.milliseconds(profile.total.flash_cycles)
    assert found.flash > found.zero_wait
    assert found.silicon is not None
    assert (found.silicon.low, found.silicon.likely) == pytest.approx((low * found.flash, likely * found.flash))
    rows = [row for table in profile_report.tables(profile) for row in table.rows]
    assert [r[0] for r in rows if r[0] in ("never waits", "from flash", "on silicon")] == [
        "never waits", "from flash", "on silicon",
    ]  # fmt: skip
    assert f"{high * found.flash:.3f} ms, as measured" in render_page(profile).decode()
    assert profile_report.as_dict(profile)["times"]["silicon"]["high"] == pytest.approx(high * found.flash)


def test_energy_at_every_clock(folder: Path, profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slower clock has its own wait states, which are counted, and the current that its maker names."""
    own = profile.board.f_cpu_hz
    supply = Supply(3.0, (RunPoint(own, 30.0), RunPoint(30_000_000, 6.0)), "datasheet", "a document", None, None)
    board = replace(profile.board, supply=supply)
    monkeypatch.setattr(profile_module, "load_board", lambda _: board)
    found = profile_folder(folder)
    assert found.by_clock == {own: profile.total.flash_cycles, 30_000_000: profile.total.cycles}  # no waits at 30 MHz
    fast, slow = found.energy
    assert slow.milliseconds.likely == pytest.approx(SILICON[1] * profile.total.cycles / 30_000)
    assert slow.microjoules.likely / fast.microjoules.likely == pytest.approx(
        (profile.total.cycles / 30 * 6) / (profile.total.flash_cycles / (own / 1e6) * 30)
    )


def test_flash_of_boards() -> None:
    """Every board whose core has a cycle model has a flash model, or is known to have none."""
    missing = {b.id for b in all_boards() if b.core.timing is not None and flash_of(b) is None}
    assert missing == {"uno_r4_minima"}
    waits = {b.id: f.waits for b in all_boards() if (f := flash_of(b)) is not None}
    assert waits["nucleo_f446re"] == waits["disco_f407vg"] == waits["nucleo_l4r5zi"] == 5
    assert (waits["nucleo_f411re"], waits["nucleo_l476rg"], waits["nucleo_g431rb"]) == (3, 4, 4)
    assert (waits["bluepill_f103c8"], waits["nucleo_f030r8"], waits["bbcmicrobit"]) == (2, 1, 0)
    cached = {b.id: f.waits for b in all_boards() if (f := caches_of(b)) is not None}
    assert (cached["nucleo_h743zi"], cached["nucleo_u575zi_q"]) == (14, 4)  # two clocks of the core for one of the bus
    for b in all_boards():
        for f in filter(None, (flash_of(b), caches_of(b))):
            assert f.source
            assert f.sector % f.width == 0
            for size, ways in ((f.code_bytes, f.ways), (f.data_bytes, f.data_ways)):
                assert size % f.sector == 0
                assert ways == 0 or size // f.sector % ways == 0


def test_other_boards(folder: Path, profile: Profile) -> None:
    """The same program: another clock and flash, the same instructions; a core without a model has no times."""
    slow = profile_folder(folder, "uno_r4_minima")
    assert slow.flash is None
    assert slow.total.cycles == profile.total.cycles
    assert slow.total.flash_cycles == slow.total.cycles
    assert any("no model" in n for n in slow.notes)
    big = profile_folder(folder, "nucleo_h743zi")
    assert not big.has_cycles
    assert big.total.cycles == 0
    assert any("two instructions" in n for n in big.notes)
    small = replace(profile, board=replace(profile.board, flash_bytes=100, ram_bytes=10))
    assert b"bytes too many" in render_page(small)


# --- what is said -----------------------------------------------------------------------------------------------------


def test_json(profile: Profile) -> None:
    found = valid("profile", json.loads(json.dumps(profile_report.as_dict(profile))))
    assert (found["model"], found["board"], found["core"], found["f_cpu"]) == ("mixed", BOARD, "cortex-m4", 180_000_000)
    total = found["total"]
    assert total["cycles"] == sum(layer["cycles"] for layer in found["layers"]) == profile.total.cycles
    assert total["milliseconds"] == pytest.approx(total["cycles"] / 180_000, rel=1e-12)
    assert (
        total["flash_waits"]["cycles"]
        == total["cycles"] + total["flash_waits"]["for_code"] + total["flash_waits"]["for_constants"]
    )
    assert found["flash_model"]["family"] == "STM32F4"
    assert found["flash"]["total"] == profile.flash_use.total
    assert found["measured"] is None
    bare = profile_report.as_dict(replace(profile, has_cycles=False, flash=None))
    valid("profile", bare)
    assert bare["total"]["cycles"] is bare["total"]["milliseconds"] is bare["total"]["flash_waits"] is None


@pytest.mark.parametrize("columns", [80, 140])
def test_table(columns: int, profile: Profile) -> None:
    for p in (profile, replace(profile, flash=None), replace(profile, has_cycles=False, flash=None)):
        console = Console(width=columns, record=True, file=StringIO())
        console.print(*map(to_rich, profile_report.tables(p)))
        text = console.export_text()
        assert max(map(len, text.splitlines())) <= columns
        assert f"{p.total.instructions / 1000:,.1f}" in text
        assert "KiB" in text


class Page(HTMLParser):
    """What a page holds: texts, tags, attributes, and tags that are not closed in order."""

    VOID = ("meta", "hr", "wbr")

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(content.decode("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_page_stands_alone(profile: Profile) -> None:
    content = render_page(profile)
    page = Page(content)
    assert page.open == []
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in page.tags}
    assert not [a for _, attrs in page.tags for a in attrs if a in ("src", "href") or a.startswith("on")]
    for remote in (b"http", b"url(", b"@import"):
        assert remote not in content
    text = "".join(page.texts)
    for layer in profile.layers:
        assert layer.name in text
        assert f"{layer.counts.flash_cycles:,}" in text
    assert any(tag == "html" and attrs.get("lang") == "en" for tag, attrs in page.tags)
    pictures = [attrs for _, attrs in page.tags if attrs.get("role") == "img"]
    assert pictures
    assert all(attrs.get("aria-label") for attrs in pictures)
    widths = [
        float(w)
        for _, attrs in page.tags
        for w in re.findall(r"(?:width|height|left|top):([\d.]+)%", attrs.get("style") or "")
    ]
    assert widths
    assert all(0.0 <= w <= 100.0 for w in widths)


def test_page_shows_what_is_kept(profile: Profile) -> None:
    kept = BufferUse("state h", 0, 8, 0, len(profile.layers) - 1)
    texts = "".join(Page(render_page(replace(profile, buffers=(kept, *profile.buffers)))).texts)
    assert "state h 8" in texts
    assert "The first 8 bytes are the state" in texts
    assert "the state" not in "".join(Page(render_page(profile)).texts)


def test_page_shows_names_as_they_are(profile: Profile) -> None:
    """A name cannot become markup, and a long one is there in full."""
    bad, long = "<script>alert('1')</script>&\"", "block_" * 40
    layers = (
        replace(profile.layers[0], name=bad, operator=bad),
        replace(profile.layers[1], name=long),
        *profile.layers[2:],
    )
    content = render_page(replace(profile, layers=layers, notes=(bad,)))
    page = Page(content)
    assert b"<script" not in content
    assert bad in "".join(page.texts)
    assert long in "".join(page.texts)


def test_measured_figures_are_shown(profile: Profile) -> None:
    times = BoardTimes("0", 100_000_000, "cycles", 3, tuple(1000 * (i + 1) for i in range(len(profile.layers))), True)
    p = replace(profile, measured=times)
    assert b"measured ms" in render_page(p)
    assert "0.010" in "".join(Page(render_page(p)).texts)
    found = valid("profile", json.loads(json.dumps(profile_report.as_dict(p))))
    assert found["measured"]["layers"][:2] == [1000, 2000]
    console = Console(width=140, record=True, file=StringIO())
    console.print(*map(to_rich, profile_report.tables(p)))
    assert f"{times.milliseconds(times.total):.3f}" in console.export_text()


# --- plan.json --------------------------------------------------------------------------------------------------------


def test_summary_names_what_the_c_has(built: Built, folder: Path) -> None:
    found = read_build(folder).plan
    view = library_view(
        built.plan, version="", abi=1, numerics=1, build_id="", sha256="", model_file=""
    )  # fmt: skip
    sizes = {c.name: c.nbytes for c in view.consts}
    named = {name: size for layer in found["layers"] for name, size in layer["constants"].items()}
    assert named == sizes
    assert [layer["name"] for layer in found["layers"]] == [s.name for s in view.steps]
    header = (folder / "lib" / "mixed" / "src" / "mixed_weights.h").read_text()
    assert all(re.search(rf"\b{name}\b", header) for name in sizes)
    for call in (call for layer in found["layers"] for call in layer["calls"]):
        assert re.fullmatch(rf"{call['kernel']}_[0-9a-f]{{8}}\.c", call["file"])
        source = (folder / "lib" / "mixed" / "src" / call["file"]).read_text()
        assert re.search(rf"^TG_SHARED .*\b{call['kernel']}\(", source, re.MULTILINE)


def test_summary_buffers_live_while_layers_use_them(built: Built, folder: Path) -> None:
    """Every place in the arena that a layer reads or writes lies in a buffer that is alive at that layer."""
    buffers = read_build(folder).plan["buffers"]
    for i, step in enumerate(built.plan.steps):
        for call in step.calls:
            places = [*call.inputs, *call.outputs, call.scratch]
            for place in places:
                if getattr(place, "space", "") != "arena":
                    continue
                assert place is not None
                assert any(
                    b["first"] <= i <= b["last"]
                    and b["offset"] <= place.offset  # type: ignore[union-attr]
                    and place.offset + place.size <= b["offset"] + b["size"]  # type: ignore[union-attr]
                    for b in buffers
                ), (step.name, place)
    for b in buffers:
        assert 0 <= b["first"] <= b["last"] < len(built.plan.steps)


def test_too_large_for_the_machine(built: Built) -> None:
    core = get_core("cortex-m4")
    assert core.machine is not None
    files = render_library(make_library(built.plan, built.model))
    tiny = replace(core, machine=replace(core.machine, flash_size=4096))
    with pytest.raises(TargetError, match="mixed is too large for mps2-an386, the machine that stands for a cortex-m4"):
        profile_plan(built.plan, files, tiny)


def test_no_machine(built: Built) -> None:
    with pytest.raises(TargetError, match="native is not emulated"):
        profile_plan(built.plan, {}, get_core("native"))
