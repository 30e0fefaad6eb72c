"""Silero VAD, frame by frame over real speech, against onnxruntime: what each width brings, and what a board pays.

    python -m benchmarks.silero FOLDER [--frames N]     table; benchmarks/results/silero.json

FOLDER: silero_vad/data of the package silero-vad 6 (`pip download --no-deps silero-vad==6.2.3`, unpacked). Two files
for 16 kHz: one with an LSTM, and one whose LSTM is written out as layers, sigmoids and products. Both are read with
`states={"state": "stateN"}` and `constants={"sr": 16000}`; h and c become states of their own.

Speech: the four recordings of ../shared/data/wav (16 kHz) and the 100 spoken digits of fsdd_pcm_test_a100 (8 kHz,
resampled to 16 kHz by a polyphase filter), joined to one stream of 3,250 frames of 512 values, each with the 64 before
it, as the caller of Silero gives them. The first 1,000 calibrate; the differences are those of all frames, and of those
behind the first 1,000.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import wave
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from rich.console import Console
from rich.table import Table
from scipy.signal import resample_poly

import tinygen
from benchmarks.record import write
from tinygen.numerics import Array

SHARED = Path(os.environ.get("TINYGEN_SHARED", Path(__file__).parents[2] / "shared"))
MODELS = {"lstm": "silero_vad_16k_op15.onnx", "written out": "silero_vad_op18_ifless.onnx"}
BOARDS = ("nucleo_h743zi", "nucleo_f446re")
FRAME, CONTEXT, CALIBRATE = 512, 64, 1000
#: What is kept in 16 bits, by the names of nodes in the file with an LSTM.
SPECTRUM = ("input", "/model/stft/padding/Pad", "/model/stft/Conv", "/model/stft/Sqrt")
ENCODER = tuple(f"/model/encoder/{k}/activation/Relu" for k in range(4))
LSTM = ("/model/decoder/rnn/LSTM",)
WIDTHS: dict[str, int | tuple[str, ...]] = {
    "int8": 8,
    "spectrum in int16": SPECTRUM,
    "spectrum and LSTM in int16": (*SPECTRUM, *LSTM),
    "spectrum and encoder in int16": (*SPECTRUM, *ENCODER),
    "all in int16": 16,
}


@dataclass(frozen=True, slots=True)
class Row:
    """Mean absolute difference of the probability and the share of equal decisions (at 0.5): of all frames, and of
    those that did not calibrate."""

    model: str
    widths: str
    frames: int
    difference: float
    equal: float
    held_out_difference: float
    held_out_equal: float


@dataclass(frozen=True, slots=True)
class Cost:
    """One frame on a board: bytes, instructions counted in the emulator, modelled cycles and milliseconds; `proved`: on
    which cores the C equals numpy. There is no model of the Cortex-M7's cycles: its time is that of one instruction a
    cycle."""

    model: str
    widths: str
    board: str
    flash: int
    ram: int
    state: int
    instructions: int
    cycles: int | None
    milliseconds: float
    proved: tuple[str, ...]


def speech() -> Array:
    """One stream, float32 within +-1, 16 kHz."""
    parts = []
    for path in sorted((SHARED / "data" / "wav").glob("*.wav")):
        with wave.open(str(path)) as file:
            parts.append(np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / 32768)
    for pcm in np.load(SHARED / "data" / "fsdd_pcm_test_a100.npz")["pcm"]:
        parts.append(np.clip(resample_poly(pcm.astype(np.float64) / 32768, 2, 1), -1, 1).astype(np.float32))
    return np.concatenate(parts)


def frames(audio: Array) -> Array:
    """(frames, 1, 576): each frame of 512 values behind the 64 before it."""
    count = len(audio) // FRAME
    padded = np.concatenate([np.zeros(CONTEXT, np.float32), audio[: count * FRAME]])
    return np.stack([padded[None, k * FRAME : (k + 1) * FRAME + CONTEXT] for k in range(count)])


def by_onnxruntime(path: Path, x: Array) -> Array:
    """Probability of speech of each frame, by the file itself."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options)
    state, found = np.zeros((2, 1, 128), np.float32), []
    for frame in x:
        p, state = session.run(None, {"input": frame, "state": state, "sr": np.array(16000, np.int64)})
        found.append(float(p.ravel()[0]))
    return np.array(found)


def compared(model: str, widths: str, p: Array, real: Array) -> Row:
    away, same = np.abs(p - real), (p > 0.5) == (real > 0.5)
    new = slice(CALIBRATE, None)
    means = (float(v.mean()) if v.size else math.nan for v in (away, same, away[new], same[new]))
    return Row(model, widths, len(p), *(round(v, 5) for v in means))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int)
    parser.add_argument("--widths", choices=WIDTHS, action="append", help="these only, and nothing is written")
    args = parser.parse_args()
    x = frames(speech())[: args.frames]
    rows, costs = [], []
    for model, file in MODELS.items():
        path = args.folder / file
        real = by_onnxruntime(path, x)
        loaded = tinygen.load(
            path, states={"state": "stateN"}, constants={"sr": 16000}, input_shapes={"input": x.shape[1:]}
        )
        for widths, activations in WIDTHS.items():
            if widths not in (args.widths or WIDTHS) or (model != "lstm" and isinstance(activations, tuple)):
                continue
            kind = list(activations) if isinstance(activations, tuple) else activations
            quantised = loaded.quantize(x[None, :CALIBRATE], activations=kind, repair="off", accept_loss=True)
            rows.append(compared(model, widths, np.asarray(quantised.run(x[None])).ravel(), real))
            print(rows[-1], flush=True)
            if widths not in ("int8", "all in int16"):
                continue
            for board in BOARDS:
                costs.append(cost(quantised, model, widths, board))
                print(costs[-1], flush=True)
    show(rows, costs)
    if args.widths is None and args.frames is None:
        found = {"accuracy": [asdict(r) for r in rows], "boards": [asdict(c) for c in costs]}
        write("silero", found, found, 2)


def cost(quantised: tinygen.Quantised, model: str, widths: str, board: str) -> Cost:
    """Built and proved for a board, one call counted in the emulator."""
    built = quantised.build(board)
    profile = built.profile()
    assert built.flash is not None
    milliseconds = profile.milliseconds or profile.instructions / built.board.f_cpu_hz * 1e3
    (plan,) = (json.loads(content) for name, content in built.files.items() if Path(name).name == "plan.json")
    proved = tuple(p.core for p in built.proofs)
    return Cost(
        model,
        widths,
        board,
        built.flash,
        built.ram,
        sum(s["bytes"] for s in plan["states"]),
        profile.instructions,
        profile.cycles,
        round(milliseconds, 3),
        proved,
    )


def show(rows: list[Row], costs: list[Cost]) -> None:
    console = Console()
    table = Table(title="Silero VAD against onnxruntime, probability of speech")
    for heading in ("model", "widths", "frames", "mean |dp|", "equal", "held out", "equal"):
        table.add_column(heading)
    for r in rows:
        numbers = (f"{r.difference:.4f}", f"{r.equal:.2%}", f"{r.held_out_difference:.4f}", f"{r.held_out_equal:.2%}")
        table.add_row(r.model, r.widths, f"{r.frames:,}", *numbers)
    console.print(table)
    boards = Table(title="One frame (32 ms)")
    for heading in ("model", "widths", "board", "flash", "RAM", "state", "instructions", "cycles", "ms", "proved on"):
        boards.add_column(heading)
    for c in costs:
        figures = (f"{c.flash:,}", f"{c.ram:,}", f"{c.state:,}", f"{c.instructions:,}")
        times = ("" if c.cycles is None else f"{c.cycles:,}", f"{c.milliseconds:.2f}")
        boards.add_row(c.model, c.widths, c.board, *figures, *times, ", ".join(c.proved))
    console.print(boards)


if __name__ == "__main__":
    main()
