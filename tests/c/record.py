"""Writes kernel calls that passed on the host as a C program, to run them on other cores and under other checks."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.c.harness import fields

C_TYPES = {"int8": "int8_t", "int16": "int16_t", "uint16": "uint16_t", "int32": "int32_t"}


@dataclass
class Recorder:
    """Stands for the library: passes every call on and keeps what went in and came out.

    Outputs are compared by the tests that make the calls, so what is kept is what NUMERICS demands.
    """

    library: ctypes.CDLL
    limit: int
    cases: list[tuple[str, str]] = field(default_factory=list)

    def record(
        self, function: str, config: str, values: dict[str, Any], arrays: tuple[np.ndarray, ...], outputs: int = 1
    ) -> Any:
        """To be called before the kernel runs; gives what is to be called after it. The last `outputs` arrays are
        written; what they hold before may be read."""
        inputs, outs = arrays[:-outputs], arrays[-outputs:]
        copies = [None if a.size and np.shares_memory(a, outs[0]) else a.copy() for a in inputs]
        before = [out.copy() for out in outs]

        def done() -> None:
            if sum(a.nbytes for a in arrays) <= self.limit:
                name = f"case_{len(self.cases)}_{function}"
                self.cases.append((name, _case(name, function, config, values, copies, before, outs)))

        return done

    @property
    def kernels(self) -> set[str]:
        """The kernels of the cases kept."""
        return {name.split("_", 2)[2] for name, _ in self.cases}

    def program(self) -> str:
        """Exit status 0, or the number of the first failing case (counted from 1, at most 98)."""
        names = ", ".join(name for name, _ in self.cases)
        return "\n".join(
            [
                "#include <string.h>",
                *(f'#include "{name}.h"' for name in sorted(self.kernels)),
                *(body for _, body in self.cases),
                f"static int (*const cases[])(void) = {{{names}}};",
                "int main(void)",
                "{",
                "    int status = 0;",
                "    for (unsigned i = 0U; (i < sizeof cases / sizeof cases[0]) && (status == 0); ++i) {",
                "        if (cases[i]() != 0) { status = (i < 98U) ? (int)i + 1 : 98; }",
                "    }",
                "    return status;",
                "}",
                "",
            ]
        )


def _list(values: np.ndarray) -> str:
    return ", ".join("(-2147483647 - 1)" if v == -(2**31) else str(v) for v in values.reshape(-1).tolist()) or "0"


def _case(
    name: str,
    function: str,
    config: str,
    values: dict[str, Any],
    inputs: list[np.ndarray | None],
    before: list[np.ndarray],
    after: tuple[np.ndarray, ...],
) -> str:
    lines = [f"static int {name}(void)", "{"]
    settings = []
    for key, _, length in fields(config):
        value = ", ".join(str(int(v)) for v in values[key]) if length else int(values[key])
        settings.append(f".{key} = {{{value}}}" if length else f".{key} = {value}")
    lines.append(f"    static const {config}_cfg_t cfg = {{{', '.join(settings)}}};")
    arguments = ["&cfg"]
    variants = ("tg_conv_s8_", "tg_dwconv_s8_", "tg_dense_s8_dsp", "tg_dense_s8_m0", "tg_dense_s8_m3")
    variants = (*variants, "tg_lstm_", "tg_gru_", "tg_rnn_", "tg_attention_")
    takes_scratch = function.startswith(variants)
    for i, array in enumerate(inputs):
        if array is None:
            arguments.append("(void *)y")
        elif takes_scratch and i == len(inputs) - 1:
            lines.append(f"    TG_ALIGN(4) int16_t scratch[{(array.nbytes + 1) // 2}];")
            arguments.append("scratch")
        else:
            c_type = C_TYPES[array.dtype.name]
            lines.append(f"    static const {c_type} a{i}[{max(array.size, 1)}] = {{{_list(array)}}};")
            arguments.append(f"a{i}")
    same = []
    for i, (start, want) in enumerate(zip(before, after, strict=True)):
        y, c_type = f"y{i or ''}", C_TYPES[want.dtype.name]
        lines.append(f"    static const {c_type} want_{y}[{want.size}] = {{{_list(want)}}};")
        lines.append(f"    TG_ALIGN(4) {c_type} {y}[{want.size}];")
        if start.itemsize == 1 and np.all(start == start.flat[0]) and not any(a is None for a in inputs):
            lines.append(f"    (void)memset({y}, {int(start.flat[0])}, sizeof {y});")
        else:
            lines.append(f"    static const {c_type} before_{y}[{start.size}] = {{{_list(start)}}};")
            lines.append(f"    (void)memcpy({y}, before_{y}, sizeof {y});")
        arguments.append(f"(void *){y}")
        same.append(f"(memcmp({y}, want_{y}, sizeof {y}) != 0)")
    lines.append(f"    {function}({', '.join(arguments)});")
    lines.append(f"    return {' || '.join(same)};")
    lines.append("}")
    return "\n".join(lines)
