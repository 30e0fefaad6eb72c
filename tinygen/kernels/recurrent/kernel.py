"""Steps of recurrent layers, and what works x out for two of them, under a name."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from tinygen.kernels.kernel import Kernel, short_name
from tinygen.kernels.program import Program
from tinygen.kernels.recurrent.gru import GruShifts, gru_step
from tinygen.kernels.recurrent.inputs import inputs_step
from tinygen.kernels.recurrent.lstm import LstmShifts, lstm_step
from tinygen.kernels.recurrent.program import Words


@dataclass(frozen=True, slots=True)
class StepKernel(Kernel):
    """A step for so many words of a window, or any number (None)."""

    name: str
    brief: str
    family: str
    shifts: LstmShifts | GruShifts
    words: Words

    @property
    def include(self) -> str:
        return "tg_recurrent_dsp.h"

    @property
    def contract(self) -> str:
        shifts = ", ".join(f"{name} {value}" for name, value in asdict(self.shifts).items())
        return (
            f"See tg_{'lstm' if isinstance(self.shifts, LstmShifts) else 'gru'}_step_fn_t. In the code:\n * {shifts}."
        )

    @property
    def program(self) -> Program:
        if isinstance(self.shifts, LstmShifts):
            return lstm_step(self.shifts, self.words)
        return gru_step(self.shifts, self.words)


@dataclass(frozen=True, slots=True)
class InputsKernel(Kernel):
    """For so many pairs of inputs."""

    name: str
    brief: str
    family: str
    words: int

    @property
    def include(self) -> str:
        return "tg_recurrent_dsp.h"

    @property
    def contract(self) -> str:
        return "See tg_inputs_step_fn_t."

    @property
    def program(self) -> Program:
        return inputs_step(self.words)


def step_kernel(shifts: LstmShifts | GruShifts, words: Words) -> StepKernel:
    """One step of an LSTM, or of a GRU whose reset gate multiplies R * h."""
    kind, of = ("lstm", "an LSTM") if isinstance(shifts, LstmShifts) else ("gru", "a GRU")
    if words is None:
        form, family, size = "_l", "l_ looped", "any number of inputs and units"
    elif words[0]:
        form, family, size = "", "", f"{2 * words[0]} inputs, {2 * words[1]} units"
    else:
        form, family, size = "_px", "px", f"{2 * words[1]} units, behind tg_inputs"
    name = short_name(f"tg_{kind}_step{form}", (shifts, words))
    return StepKernel(name, f"A step of {of}: {size}.", f"tg_{kind}_step_{family}", shifts, words)


def inputs_kernel(words: int) -> InputsKernel:
    """What x brings to the sums of two steps at once."""
    return InputsKernel(f"tg_inputs_{words}_dsp", f"What {2 * words} inputs of two steps bring.", "tg_inputs_", words)
