"""A hand-written model library, small enough to see through: output = input + 1, wrapping like int8."""

from __future__ import annotations

from pathlib import Path

from tinygen.emit.programs import ModelView, PortView

LEN = 10

MODEL = ModelView("kws", "KWS", "0.0.0", (PortView("in", LEN),), (PortView("out", LEN),))

HEADER = f"""\
#ifndef KWS_H_INCLUDED
#define KWS_H_INCLUDED
#include <stdint.h>
#define KWS_INPUT_LEN {LEN}U
#define KWS_OUTPUT_LEN {LEN}U
#define KWS_ARENA_LEN 32U
typedef enum {{ KWS_OK = 0, KWS_E_NULL = -1 }} kws_status_t;
typedef struct {{ __attribute__((aligned(16))) int8_t arena[KWS_ARENA_LEN]; }} kws_ctx_t;
kws_status_t kws_run(kws_ctx_t *ctx, const int8_t input[KWS_INPUT_LEN], int8_t output[KWS_OUTPUT_LEN]);
#endif
"""

SOURCE = """\
#include "kws.h"
static uint32_t dive(uint32_t n) __attribute__((unused, noinline));
static uint32_t dive(uint32_t n)
{
    volatile uint32_t room[64];
    room[0] = n;
    return (n == 0U) ? 0U : (dive(n - 1U) + room[0]);
}
static const int8_t kws_step[3] = {1, 1, 1};
#ifdef KWS_TRACE
void kws_trace(uint32_t step, const int8_t *data, uint32_t len);
#endif
kws_status_t kws_run(kws_ctx_t *ctx, const int8_t input[KWS_INPUT_LEN], int8_t output[KWS_OUTPUT_LEN])
{
    volatile int8_t scratch[40];
    for (uint32_t i = 0U; i < KWS_INPUT_LEN; i++) {
        scratch[i] = input[i];
        ctx->arena[i] = (int8_t)(uint8_t)((uint8_t)scratch[i] + (uint8_t)kws_step[i % 3U]);
        output[i] = ctx->arena[i];
    }
#ifdef KWS_TRACE
    kws_trace(0U, output, KWS_OUTPUT_LEN);
#endif
    FAULT
    return (input[0] == 99) ? KWS_E_NULL : KWS_OK;
}
"""


def write_model(folder: Path, fault: str = "") -> Path:
    """kws.h and kws.c in `folder`; `fault` is C that runs after the outputs are written. Returns kws.c.

    `dive(n)` takes more than 256 * n bytes of stack.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kws.h").write_text(HEADER, encoding="utf-8")
    (folder / "kws.c").write_text(SOURCE.replace("FAULT", fault), encoding="utf-8")
    return folder / "kws.c"
