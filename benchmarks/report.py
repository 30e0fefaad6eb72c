"""docs/BENCHMARKS.md from the JSON in benchmarks/results, and nothing else.

python -m benchmarks.report            writes the page
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.boards import PUBLISHED, PUBLISHED_NEAR, TFLM
from benchmarks.compression import MEMORY, NETWORKS, TRAINING_SAMPLES
from benchmarks.energy import show as show_energy
from benchmarks.multipliers import BEFORE
from benchmarks.record import RESULTS
from benchmarks.silicon import HEAD, band, published, ratios
from benchmarks.silicon import rows as silicon_rows
from benchmarks.single_layers import each
from tinygen.targets.flash import SILICON

PAGE = Path(__file__).parents[1] / "docs" / "BENCHMARKS.md"


def load(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; the first column to the left, the others to the right."""
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(r) + " |" for r in rows)])


def number(v: Any) -> str:
    if v is None:
        return ""
    return f"{v:,}" if isinstance(v, int) else str(v)


def ratio(ours: int | None, theirs: int | None) -> str:
    """`ours / theirs (ratio)`, as far as there are both."""
    if ours is None:
        return ""
    return f"{ours:,} / {theirs:,} ({ours / theirs:.2f})" if theirs else f"{ours:,}"


def mlperf() -> str:
    rows = []
    for name, network in load("mlperf").items():
        for key, r in network["builds"].items():
            core, mode = key.split()
            t = network["tflm"][core]
            ram = t["arena_min"] + t.get("stack_invoke", 0) if "arena_min" in t else None
            cycles = r.get("cycles")
            rows.append([
                name, core.removeprefix("cortex-"), mode, ratio(r["insns"], t.get("insns")),
                ratio(cycles, t.get("cycles")), f"{cycles / network['macs']:.2f}" if cycles else "",
                ratio(r["arena"] + r["stack"], ram),
                *(number(r[k]) for k in ("arena", "scratch", "io", "stack")), ratio(r["flash"], t.get("flash")),
                ratio(r["code"], t.get("flash_code")), number(r["constants"]), number(network["weights"]),
            ])  # fmt: skip
    head = [
        "network", "core", "mode", "instructions", "modelled cycles", "cycles/MAC", "arena and stack", "arena",
        "of it scratch", "in/out", "stack", "flash", "flash less constants", "constants", "int8 weights",
    ]  # fmt: skip
    return table(head, rows)


def mlperf_layers() -> str:
    """Cycles of every layer on Cortex-M4, speed and balanced."""
    rows = []
    for name, network in load("mlperf").items():
        builds = network["builds"]
        if "cortex-m4 speed" not in builds:
            continue
        speed, balanced = (builds[f"cortex-m4 {mode}"]["layers"] for mode in ("speed", "balanced"))
        by_name = {layer["name"]: layer for layer in speed}
        for usual in balanced:
            fast = by_name[usual["name"]]
            per_mac = f"{fast['cycles'] / fast['macs']:.2f}" if fast["macs"] else ""
            rows.append([
                f"{name} {usual['name']}", ", ".join(usual["kernels"]), number(usual["macs"]), number(usual["cycles"]),
                ", ".join(fast["kernels"]), number(fast["cycles"]), per_mac,
            ])  # fmt: skip
    return table(["layer", "kernels", "MACs", "cycles", "kernels for speed", "cycles", "cycles/MAC"], rows)


def boards() -> str:
    """Cycles from flash of each way, in thousands; without a cycle table instructions and waits, in brackets."""
    rows = []
    for board, networks in load("boards").items():
        for short, modes in networks.items():
            cells = []
            for mode in ("speed", "balanced", "size", "speed, 8K in RAM", "speed, 32K in RAM", TFLM):
                if mode not in modes:
                    cells.append("")
                    continue
                now, was = modes[mode]["after"], modes[mode].get("before")
                figure = "flash_cycles" if "flash_cycles" in now else "insns"
                text = f"{now[figure] / 1000:,.0f}"
                if was is not None and was[figure] != now[figure]:
                    text += f" / {was[figure] / 1000:,.0f} ({now[figure] / was[figure]:.2f})"
                if now.get("waits"):
                    text += f" + {now['waits'] / 1000:,.0f}"
                cells.append(f"[{text}]" if figure == "insns" else text)
            speed = modes["speed"]["after"]
            zero = f"{speed['cycles'] / 1000:,.0f}" if "cycles" in speed else ""
            silicon = ""
            if "flash_cycles" in speed:
                silicon = " to ".join(f"{SILICON[i] * speed['flash_cycles'] / 1000:,.0f}" for i in (0, 2))
            where, near = PUBLISHED_NEAR.get(board, ("", {}))
            published = PUBLISHED.get(board, near).get(short)
            best = "" if published is None else f"{published / 1000:,.0f}{f' ({where})' if where else ''}"
            fits = "yes" if modes["speed"]["fits"] else "no"
            rows.append([board, short, zero, cells[0], silicon, *cells[1:], best, fits])
    head = ["board", "network", "speed, no waits", "speed", "on silicon", "balanced", "size"]
    return table([*head, "8K in RAM", "32K in RAM", TFLM, "published", "fits"], rows)


def silicon() -> str:
    """The flash model beside published results: table, band, and where each program comes from."""
    results = load("silicon")
    values = [ratio for *_, ratio in ratios(results)]
    low, likely, high = band(values)
    sources = [
        f"- {name}: {s['code']}; there {s['there']}, here {s['here']}; measured by {', '.join(s['per_second'])}"
        for name, s in published().items()
    ]
    return "\n".join([
        table(list(HEAD), silicon_rows(results)), "",
        f"All {len(values)} ratios: {min(values):.3f} to {max(values):.3f}, median {likely:.3f}, four fifths {low:.3f} "
        f"to {high:.3f}. Programs:", "", *sources,
    ])  # fmt: skip


def single_layers() -> str:
    results = load("single_layers")
    cores = list(results)
    rows = []
    for name, row in results["cortex-m4"].items():
        cells = [f"{each(results[core][name], 'insns'):.3f}" for core in cores]
        rows.append([name, number(row["macs"]), *cells, f"{each(row, 'cycles'):.3f}"])
    return table(["layer", "MACs", *(c.removeprefix("cortex-") for c in cores), "m4 cycles"], rows)


def percent(share: float) -> str:
    return f"{100 * share:+.1f} %"


def prediction_summary() -> str:
    rows = []
    for core, figures in load("predict")["summary"].items():
        for figure, e in figures.items():
            layers = ["", "", ""]
            if "layers" in e:
                layers = [f"{100 * e['median_layer']:.1f} %", percent(e["worst_layer"]), e["worst_layer_at"]]
            rows.append([
                f"{core} {figure}", number(e["networks"]), f"{100 * e['median']:.1f} %", percent(e["worst"]),
                e["worst_at"], *layers,
            ])  # fmt: skip
    head = ["figure", "networks", "median error", "worst", "at", "median of layers", "worst layer", "at"]
    return table(head, rows)


def predictions() -> str:
    rows = []
    for name, row in load("predict")["models"].items():
        cells = []
        for r in row.values():
            predicted, measured = r.get("cycles") or r["insns"]
            cells += [number(measured), number(predicted), percent(predicted / measured - 1)]
        rows.append([name, *cells])
    models = load("predict")["models"]
    head = ["model"]
    for core, r in next(iter(models.values())).items():
        figure = "cycles" if "cycles" in r else "instructions"
        head += [f"{core.removeprefix('cortex-')} {figure}", "predicted", "error"]
    return table(head, rows)


def models() -> str:
    rows = [
        [
            r["model"], r["board"],
            *(number(r[k]) for k in ("layers", "macs", "flash", "arena", "io", "stack")),
            r["metric"], *(number(r[k]) for k in ("float", "int8", "ort_int8", "sqnr_db")),
            "all cores" if len(r["equal_on"]) > 2 else "native, M4",
        ]
        for r in load("models")
    ]  # fmt: skip
    head = [
        "model", "board", "layers", "MACs", "flash", "arena", "in/out", "stack", "metric", "float", "int8", "ORT int8",
        "SQNR dB", "equal on",
    ]  # fmt: skip
    return table(head, rows)


def sequences() -> str:
    rows = [
        [
            r["model"], *(number(r[k]) for k in ("layers", "copies", "macs", "flash", "arena", "io", "stack")),
            *(number(r[k]) for k in ("float", "int8", "sqnr_db")), r["worst"]["layer"], number(r["worst"]["db"]),
        ]
        for r in load("sequences")
    ]  # fmt: skip
    head = [
        "model", "layers", "copies", "MACs", "flash", "arena", "in/out", "stack", "float", "int8", "dB",
        "noisiest layer", "its dB",
    ]  # fmt: skip
    return table(head, rows)


def sequences_on_cores() -> str:
    found = load("sequences")
    cores = list(found[0]["cores"])
    rows = [
        [r["model"], *(number(c.get("cycles", c["instructions"])) for c in r["cores"].values()),
         *(number(r["cores"][core]["flash"]) for core in ("cortex-m0", "cortex-m55"))]
        for r in found
    ]  # fmt: skip
    head = ["model", *(c.removeprefix("cortex-").upper() for c in cores), "flash on M0", "flash on M55"]
    return table(head, rows)


def calibration() -> str:
    methods = ("minmax", "percentile", "entropy", "mse")
    rows = [
        [
            name, r["metric"], *("" if r.get(k) is None else f"{r[k]:.4f}" for k in ("float", "ort_int8")),
            *(f"{r[m]['value']:.4f} ({r[m]['sqnr_db']:.1f})" for m in methods),
        ]
        for name, r in load("calibration").items()
    ]  # fmt: skip
    return table(["model", "metric", "float", "ORT int8", *methods], rows)


def build_time() -> str:
    phases = ("start", "import", "calibrate", "plan", "simulate", "verify native", "verify cortex-m4", "emit")
    rows = [
        [
            name, number(r["native"]["macs"]), number(r["native"]["parameters"]),
            *(f"{r['emulated']['seconds'].get(p, 0):.2f}" for p in phases),
            f"{r['native']['total']:.1f}", f"{r['emulated']['total']:.1f}", f"{r['emulated']['peak_mib']:.0f}",
        ]
        for name, r in load("build_time").items()
    ]  # fmt: skip
    return table(["model", "MACs", "constants", *phases, "total, native", "total, with M4", "peak MiB"], rows)


def packed() -> str:
    """Of each form of weights the smallest kernel that was measured and the fastest, beside int8."""
    ways = ("int8", "smallest", "fastest")
    rows = []
    for layer, forms in load("packed").items():
        for weights, cores in forms.items():
            cells = (cores[core].get(way) for core in ("cortex-m4", "cortex-m0") for way in ways)
            rows.append(
                [layer, weights, *("-" if c is None else f"{c['bytes']:.2f} / {c['cycles']:.2f}" for c in cells)]
            )
    return table(["layer", "weights", *(f"{core}, {way}" for core in ("M4", "M0") for way in ways)], rows)


def lossless() -> str:
    """The networks from which something goes."""
    rows = [
        [r["model"]] + [number(r[when][k]) for k in ("macs", "weights", "channels", "cycles", "flash")
                        for when in ("before", "after")]
        for r in load("lossless") if r["changed"]
    ]  # fmt: skip
    heads = ("MACs", "weights", "channels", "M4 cycles", "flash")
    return table(["network", *(h for head in heads for h in (head, "after"))], rows)


def compression(network: str) -> str:
    """Every recorded row of a network, the uncompressed first, the techniques alone before those in pairs."""
    named = {k.split(": ", 1)[1]: r for k, r in load("compression").items() if k.startswith(f"{network}: ")}
    order = sorted(named, key=lambda n: (n != "int8", n.startswith("recipe"), n.count(" + "), n.startswith("all")))
    rows = []
    for name in order:
        r = named[name]
        if "refused" in r:
            rows.append([name, "refused", *[""] * 5])
            continue
        for way, f in ((name, r), (f"{name}, size", r.get("size"))):
            if f is not None:
                figures = (number(f[k]) for k in ("constants", "flash", "cycles", "arena", "macs"))
                rows.append([way, f"{f['accuracy']:.4f}", *figures])
    return table(["", "accuracy", "constants", "flash", "M4 cycles", "arena", "MACs"], rows)


def compressions() -> str:
    """A table for each network."""
    rows = load("compression")
    names = dict.fromkeys(k.split(":")[0] for k in rows)
    return "\n\n".join(f"**{n}** (float {rows[f'{n}: int8']['float']:.4f})\n\n{compression(n)}" for n in names)


def training() -> str:
    """How long each network of the techniques' table trains."""
    words = []
    for name, epochs in (NETWORKS | MEMORY).items():
        samples = f" of {TRAINING_SAMPLES[name]:,} samples" if name in TRAINING_SAMPLES else ""
        words.append(f"{name} {epochs} epochs{samples}")
    return ", ".join(words)


def repairs() -> str:
    """SQNR and accuracy after each step; in brackets where it was not kept."""
    rows = []
    for case in load("repairs")["cases"]:
        cells = {}
        for s in case["steps"]:
            text = f"{s['sqnr_db']:.1f}" + (f" / {s['accuracy']:.3f}" if s.get("accuracy") is not None else "")
            cells[s["step"]] = text if s["kept"] else f"({text})"
        real = "" if case["float"] is None else f"{case['float']:.3f}"
        rows.append([case["case"], real, *(cells.get(k, "") for k in ("none", "equalise", "bias", "round", "wide"))])
    return table(["network", "float", "none", "equalise", "bias", "round", "wide"], rows)


def int16() -> str:
    """int8 and int16 activations, side by side."""
    rows = []
    for name, r in load("int16").items():
        a, b = r["8"], r["16"]
        rows.append([name, f"{a['metric']} {a['float']:.4f}", f"{a['value']:.4f}", f"{b['value']:.4f}",
                     *(f"{a[k]:,} / {b[k]:,}" for k in ("sqnr_db", "cycles", "flash", "arena"))])  # fmt: skip
    return table(["network", "float", "int8", "int16", "SQNR dB", "M4 cycles", "flash", "arena"], rows)


#: CMSIS-NN's LSTM in int8, cycles a MAC on Cortex-M4 and instructions on M55 (../shared/BASELINES.md).
CMSIS_LSTM = {
    "LSTM 6->32, 32 steps": ("7.14", "3.18"),
    "LSTM 10->24, 49 steps": ("7.85", ""),
    "LSTM 28->64, 28 steps": ("4.27", "1.46"),
    "LSTM 64->128, 8 steps": ("3.31", ""),
}


def recurrent() -> str:
    found = load("recurrent")
    rows = []
    for name, m4 in found["cortex-m4"].items():
        m55 = found["cortex-m55"][name]["per_mac"]
        theirs = CMSIS_LSTM.get(name, ("", ""))
        others = (f"{found[core][name]['per_mac']:.1f}" for core in ("cortex-m3", "cortex-m0"))
        rows.append([
            name, f"{m4['per_mac']:.2f}", theirs[0], *others, f"{m55:.2f}", theirs[1], f"{m4['error_db']:.1f}",
            number(m4["code"]), number(m4["constants"]), number(m4["scratch"]),
        ])  # fmt: skip
    head = ["layer", "M4", "CMSIS-NN", "M3", "M0", "M55", "CMSIS-NN", "dB", "code", "constants", "scratch"]
    return table(head, rows)


def attention() -> str:
    found = load("attention")
    cores = ("cortex-m0", "cortex-m3", "cortex-m7", "cortex-m33", "cortex-m55")
    rows = []
    for name, m4 in found["cortex-m4"].items():
        unit = m4["macs"] or m4["elements"]
        others = (number(found[core].get(name, {}).get("insns")) for core in cores)
        kernel = m4["cycles_by"]
        rows.append([name, kernel, number(m4["cycles"]), f"{m4['cycles'] / unit:.2f}", *others])
    head = ["", "kernel on M4", "cycles", "a MAC or value", *(c.removeprefix("cortex-") for c in cores)]
    return table(head, rows)


def silero() -> str:
    found = load("silero")
    rows = []
    for r in found["accuracy"]:
        costs = [c for c in found["boards"] if (c["model"], c["widths"]) == (r["model"], r["widths"])]
        by_board = {c["board"]: c for c in costs}
        times = (by_board.get(b, {}).get("milliseconds") for b in ("nucleo_h743zi", "nucleo_f446re"))
        memory = ("", "") if not costs else (number(costs[-1]["flash"]), number(costs[-1]["ram"]))
        rows.append([
            r["model"], r["widths"], f"{r['difference']:.4f}", f"{r['equal']:.1%}", f"{r['held_out_difference']:.4f}",
            f"{r['held_out_equal']:.1%}", *memory, *("" if t is None else f"{t:.2f}" for t in times),
        ])  # fmt: skip
    head = ["file", "activations", "off by", "equal", "held back", "equal", "flash", "RAM", "H743 ms", "F446 ms"]
    return table(head, rows)


def onnx_backend() -> str:
    found = load("onnx_backend")
    kinds = ("passed", "refused", "wrong", "fault")
    rows = [[kind, *(number(found[kind][k]) for k in kinds)] for kind in ("tests", "twins")]
    return table([f"onnx {found['onnx']}", *kinds], rows)


def scan_cliffs() -> str:
    """The worst step of each series that has one, and how many there are."""
    rows = []
    for core, found in load("scan").items():
        by_series: dict[str, list[dict[str, Any]]] = {}
        for c in found["cliffs"]:
            by_series.setdefault(f"{c['series']}, {c['axis']}", []).append(c)
        for series, steps in by_series.items():
            worst = max(steps, key=lambda c: float(c["step"]))
            rows.append([f"{core.removeprefix('cortex-')} {series}", str(len(steps)),
                         f"{worst['dear']}, not {worst['cheap']}", f"{worst['step']:.2f}", worst["why"]])  # fmt: skip
    return table(["core and series", "steps", "the worst", "apart", "why"], rows)


def scan_channels() -> str:
    """Channels that cost more than one more of them."""
    rows = []
    for core, found in load("scan").items():
        for u in found["uneven"]:
            worst = max(u["channels"], key=lambda n: float(u["channels"][n]))
            rows.append([f"{core.removeprefix('cortex-')} {u['series']}", str(len(u["channels"])), worst,
                         f"{u['channels'][worst]:.2f}"])  # fmt: skip
    return table(["core and series", "numbers", "the worst", "of what one more costs"], rows)


def multipliers() -> str:
    rows = []
    for kind, builds in load("multipliers").items():
        for build, r in builds.items():
            before = BEFORE[kind][build]
            rows.append([f"{kind} {build.removeprefix('cortex-')}", ratio(r["cycles"], before), number(r["depthwise"]),
                         f"{r['depthwise'] / r['depthwise_macs']:.2f}", number(r["arena"])])  # fmt: skip
    head = ["network and build", "cycles / before", "of them depthwise", "for each MAC of those", "arena"]
    return table(head, rows)


def page() -> str:
    return f"""# Benchmarks

Written by `python -m benchmarks.report` from `benchmarks/results/*.json`; each section names the command that
measured it. What is measured in more detail (every layer, every kernel) goes to build/benchmarks, which git does not
keep. They need `../shared` (models, data, peers' figures, emulator plug-in), arm-none-eabi-gcc 12.2 and
QEMU 7.2.

## MLPerf Tiny, beside TFLite Micro with CMSIS-NN

`python -m benchmarks.mlperf`: the int8 files (QDQ), one inference of a real sample, every output equal to numpy's.
Each cell: tinygen / TFLM (ratio). Counted by `../shared/emu`, which is not tinygen's own counter. Instructions are
exact; cycles are modelled for the Cortex-M4 with zero-wait memory, and on other cores mean nothing. TFLM's figures
are the best of its builds for each core in `baselines.json`. Flash: the model's own objects with the compiler helpers
they need, as the linker says; TFLM's: its whole image. "Less constants" leaves out the constants (tinygen) or the
.tflite file (TFLM). Where the int8 weights alone are more than half of TFLM's image, half its flash cannot be reached
without compressing them. The arena holds the scratch of the hungriest layer; input and output are the caller's, and
with TFLM inside the arena.

{mlperf()}

Layers on Cortex-M4, balanced and for speed; counted with a call between layers (some ten cycles).

{mlperf_layers()}

## From the flash of boards

`python -m benchmarks.boards`: the same files on boards whose flash waits, thousands of cycles of an inference as the
flash model has them (docs/PROFILE.md); where the choice of kernels for the board's memory changed something: now /
before (ratio). Where the core has no cycle table, in brackets: instructions + cycles that misses of its caches cost.
"On silicon": {SILICON[0]} to {SILICON[2]} times `speed`, [as measured](#the-flash-model-against-silicon). "8K in RAM":
`--optimize speed --code-in-ram 8K`. Every output is equal to numpy's. "{TFLM}": through the same models
(`--tflm`; tflite-micro 90b983c2, CMSIS-NN 4ab83cc3; its outputs are the same on all cores). "Published": the best of
MLPerf Tiny 1.0 to 1.3, closed division, by anybody, flash waits and all; of another part of the family where it says
so. "Fits": the board's flash and RAM, predicted for `speed`; what does not fit is modelled all the same.

{boards()}

What is left to wait for on the L4R5: ad is dense layers, which read each of 273 KB of constants once. In lines of eight
bytes with five waits each that is 171 k of its 507 k cycles, and data is not read ahead. Four products take three
instructions, sixteen of them six cycles of loads: 297 k for its 264 k products, and so 0.47 M for nothing but
products and constants. Other networks read weights once for several tiles ([groups](ARCHITECTURE.md)); Winograd's
tiles, which take most of ic, still wait a fifth of their time for theirs.

## The flash model against silicon

`python -m benchmarks.silicon --programs FOLDER`: results of MLPerf Tiny's closed division on a NUCLEO-L4R5ZI at 120 MHz
whose source was published with them (1.0, November 2022, and 1.1, June 2023), and the same source through the flash
model, read-ahead off as it was there; millions of cycles of an inference. Nothing of that source is in this repository:
FOLDER holds the programs, one for a network, which call a function `inference` once.
[What follows from it](PROFILE.md#flash).

{silicon()}

## Energy

`python -m benchmarks.energy`: the same files with the kernels of `balanced`, one inference, and the band in which it
should lie; [how it is found, and how far to trust it](PROFILE.md#energy). Cycles are counted with the board's flash;
those of nucleo_h743zi and nucleo_u575zi_q, whose cores have no cycle table, are a Cortex-M4's with memory that does not
wait, times a factor. Published figures are those of MLPerf Tiny 1.0 to 1.3, closed division
(`benchmarks/mlperf_energy.json`), of other software on the same part; the same current, or power, is taken at their
voltage. The last table leaves the software out: published energy against the model's power for the published time.
Bands were found from these runs.

{show_energy(load("energy"))}

## Single layers

`python -m benchmarks.single_layers`: instructions for each MAC, or for each output where there is no MAC, of the best
kernel of each core; on Cortex-M4 cycles as well. Counted by tinygen's own plug-in.

{single_layers()}

## Recurrent layers

`python -m benchmarks.recurrent`: cycles for each MAC on Cortex-M4, M3 and M0, instructions on M55, gate tables and
requantisation included, every output equal to numpy's. "dB": all outputs against onnxruntime's float layer, on
sequences that calibration did not see. Code, constants and scratch are those of the M4, in bytes.

{recurrent()}

## Attention and normalisation

`python -m benchmarks.attention`: cycles on Cortex-M4 and instructions on the others, every output equal to numpy's.

{attention()}

Targets: attention at T = 50, d = 64, two heads 1.5; normalisation of rows 14, which takes rows of about 64; softmax
of int16 17, which its bits do not allow: an exponential is 12 instructions and a quotient by a product 4, together
with loads, stores, the largest value and loops 24 cycles, to which rows of 50 add 6 of their own (rows of 256: 25).
Its rule predates attention, which sums exponentials of 15 bits by table and divides outputs instead.

## Silero VAD

`python -m benchmarks.silero FOLDER`: both 16 kHz files of PyPI's silero-vad 6, frame by frame with their state, beside
onnxruntime on 3,250 frames of real speech (recordings, and spoken digits resampled to 16 kHz), of which the first 1,000
calibrate. "Off by": the mean difference of the probability; "equal": the same decision at 0.5; "held back": on the
other frames. Milliseconds for a frame of 32 are modelled, at each board's clock and with its flash where that is known.

{silero()}

## The tests of ONNX

`python -m benchmarks.onnx_backend`: onnx's own tests of operators (node, simple, pytorch) through the tool's line in
int8, weights, axes and shapes as constants, judged at two steps of the output or 30 dB. "Twins" are tests of a
function's body. What was refused, and why, is in benchmarks/results/onnx_backend.json.

{onnx_backend()}

## Weights in other forms than int8

`python -m benchmarks.packed`: bytes for each weight (without biases and multipliers; a table of up to 1 KiB, which
layers share, is not counted) / cycles for each MAC of the plain layer. The fastest kernel for int8, then of those that
store indices or leave zeros out, the smallest and the fastest. "n bits": numbers of n bits; "n values": a codebook.

{packed()}

## Lossless simplification

`python -m benchmarks.lossless`: each of the {len(load("lossless"))} models before and after; outputs equal, byte for
byte, on 1,000 inputs each (real ones, the ends of int8, random). From {sum(not r["changed"] for r in load("lossless"))}
nothing goes. The others, measured on Cortex-M4 (`balanced`; modelled cycles, linked flash). "Before" has the kernels
for zeros and few values that this version chooses by itself; without those, vww_mobilenetv1_025_tf_int8_qdq took
9,937,881 cycles and 270,064 bytes.

{lossless()}

## Compression techniques

`python -m benchmarks.compression`: every row was compressed, written as ONNX, built for nucleo_f446re (uncompressed
teachers for disco_f407vg) with `balanced`, proved equal on this computer and the emulated Cortex-M4, and judged on test
half "a". "Trained": fine-tuned with the original as teacher, without labels: {training()}. "Constants" are weights,
biases, multipliers and tables as stored; flash is the model with its kernels, without start-up code. "Recipe" rows are
benchmarks/recipes/NETWORK.NAME.toml, fitted to all training data; "size" is the same file built with `--optimize size`.

{compressions()}

## Repairs of quantisation

`python -m benchmarks.repairs`: the ladder of `tinygen quantize`, SQNR of the outputs in dB / accuracy, up to 1,000 test
samples. Columns are cumulative over the steps that were kept; in brackets those that were not. "Scaled": channels of a
layer multiplied by 2^-4 to 2^4 and divided again in the next, so that the float network stays the same.

{repairs()}

## Cliffs

`python -m benchmarks.scan` walks over shapes of layers (channels, sizes, strides, kernels, dilations, groups, gains),
counts the kernel that `speed` takes for each and looks for neighbours that are further apart than their work says: less
work that costs more than 1.3 times as much, or more work that costs more than 1.3 times what its growth explains.
Cycles on M0, M3 and M4, instructions on M55. All of it as a picture: build/benchmarks/scan.html.

{scan_cliffs()}

That n channels never cost more than n + 1 holds, to 2 %, but for these numbers of 1 to 33:

{scan_channels()}

`python -m benchmarks.multipliers`: MobileNetV1 0.25 of 96 x 96 x 1 with 8 channels first. `channels`: depthwise layers
with 2 or 4 outputs for an input channel. `gains`: some depthwise channels with weights 60 times as large, as batch
norms leave them, so that multipliers of the requantisation are large. Before: when both fell to the reference kernel.

{multipliers()}

## int16 activations

`python -m benchmarks.int16`: the whole network in int16; int8 / int16.

{int16()}

## The cost model

`python -m benchmarks.predict`: what `tinygen inspect` predicts before anything is built, against what was counted,
over models of ../shared. None of them took part in the fit (`python -m benchmarks.fit_costs`: single
layers of a seeded set). "Layers" are those that make up at least one per cent of their network.

{prediction_summary()}

{predictions()}

## Every model of ../shared

`make models`: numpy = this computer = emulated Cortex-M4, byte for byte, for each; the MLPerf Tiny networks and those
with memory or attention also on M0, M3, M7, M33 and M55. "ORT int8" is onnxruntime's own static quantisation
(../shared/models/README.md; of recurrent layers it leaves float); mse is lower-is-better. Bytes.

{models()}

## Networks with memory or attention

`python -m benchmarks.sequences`: the recurrent and attention networks of ../shared/models, from both of torch's
exporters, and small ones of ../shared/cases/import that once were refused; numpy = this computer = all six emulated
cores for each. "dB" is the SQNR of the outputs against onnxruntime on the file as it is, on data that did not
calibrate: of the collection test_a, whose accuracies are "float" and "int8", of the others random numbers.
`f5_gru_state` and `gru_step` keep h as a state, over streams of 50 steps. Bytes are those on the Nucleo-F446RE.
"Copies": kernel calls that only move.

{sequences()}

Cycles of one call, of M7, M33 and M55 instructions:

{sequences_on_cores()}

## Calibration methods

`python -m benchmarks.calibration`: metric, and in brackets the SQNR of the outputs in dB. The default is `mse`.

{calibration()}

## The build itself

`make bench`, two cores, seconds. Wall-clock times do not repeat; they are here for their size, not their digits.

{build_time()}
"""


def main() -> int:
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
