/**
 * @file  tg_recurrent_mve.h
 * @brief Recurrent layers on Helium: sums of one unit after the other, then four units at a time through the tables.
 *
 * A window holds [x | h] in bytes, each padded with zeros to whole vectors. The stream of a unit: vectors of W, a row
 * for each gate; 4 biases, 4 multipliers; vectors of R, likewise; (GRU: 4 biases of h;) 4 multipliers. Lanes that are
 * not used hold 0.
 */
#ifndef TG_RECURRENT_MVE_H_INCLUDED
#define TG_RECURRENT_MVE_H_INCLUDED

#include "tg_gate.h"
#include "tg_isa_mve.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Sums of a layer's units. The assembly knows the order of the members. */
typedef struct {
    int32_t x_turns; /**< vectors of x and of h behind the first */
    int32_t h_turns;
    int32_t units;
} tg_sums_mve_t;

#if TG_MVE

/* r1: window; r3: stream; even registers: sums. Rows of one vector of the window. */
#define TG_ROW_MVE(op, acc) "vldrb.8 q0, [r3], #16\n" op ".s8 " acc ", q0, q4\n"
#define TG_ROWS3_MVE(op) "vldrb.8 q4, [r1], #16\n" TG_ROW_MVE(op, "r0") TG_ROW_MVE(op, "r2") TG_ROW_MVE(op, "r4")
#define TG_ROWS4_MVE(op) TG_ROWS3_MVE(op) TG_ROW_MVE(op, "r6")
/* all vectors of x or of h: `turns` more than one */
#define TG_SUMS_MVE(rows, turns, loop, end)                                                                            \
    rows("vmladav") "wls lr, " turns ", " end "f\n" loop ":\n" rows("vmladava") "le lr, " loop "b\n" end ":\n"
/* q, saturated to int16, through the table whose middle is in a register; r: the table's shift; q7: 255 */
#define TG_TABLE_MVE(q, r, table)                                                                                      \
    "vqmovnb.s32 q5, " q "\n"                                                                                          \
    "vmovlb.s16 " q ", q5\n"                                                                                           \
    "vshr.s32 q5, " q ", #8\n"                                                                                         \
    "vldrw.32 q6, [" table ", q5, uxtw #2]\n"                                                                          \
    "vand " q ", " q ", q7\n"                                                                                          \
    "vshl.s32 " q ", " r "\n"                                                                                          \
    "vmovlb.s16 q5, q6\n"                                                                                              \
    "vmul.i32 " q ", " q ", q5\n"                                                                                      \
    "vadd.i32 " q ", " q ", q6\n"                                                                                      \
    "vshr.s32 " q ", " q ", #16\n"
/* moved up before */
#define TG_CURVE_MVE(q, up, r, table) "vshl.s32 " q ", " up "\n" TG_TABLE_MVE(q, r, table)

#else

static TG_INLINE int32_t tg_clamp_word_mve(int32_t v, int32_t bits)
{
    const int32_t top = (int32_t)(1UL << (bits - 1)) - 1;
    return (v < (-top - 1)) ? (-top - 1) : ((v > top) ? top : v);
}

/** VSHL by 8, VRMULH: (acc * m + 2^23) >> 24 while |acc| < 2^23. */
static TG_INLINE int32_t tg_sum_out_mve(int32_t acc, int32_t m)
{
    return (int32_t)((((int64_t)acc * m) + ((int64_t)1 << 23)) >> 24);
}

/** VRSHL to the right: to the nearest, halves up. */
static TG_INLINE int32_t tg_round_down_mve(int32_t v, int32_t down)
{
    return (v + (int32_t)((1UL << down) >> 1)) >> down;
}

/** VQDMULH by m << 15: v * m >> 16. */
static TG_INLINE int32_t tg_mul_half_mve(int32_t v, int32_t m)
{
    return (int32_t)(((int64_t)v * m) >> 16);
}

/** v moved up, saturated, through a table. */
static TG_INLINE int32_t tg_curve_mve(const int32_t *middle, int32_t v, int32_t up, int32_t shift)
{
    return tg_gate_at(middle, tg_clamp_word_mve(v * (int32_t)(1UL << up), 16), (uint32_t)shift);
}

/** acc[gate] += products of a unit's rows with n bytes of the window; returns the stream behind them. */
static TG_INLINE const int32_t *tg_rows_mve(const int32_t *w, const int8_t *window, int32_t n, int32_t gates,
                                            int32_t *acc)
{
    const int8_t *v = (const int8_t *)w;
    for (int32_t i = 0; i < n; i += 16) {
        for (int32_t g = 0; g < gates; ++g) {
            for (int32_t j = 0; j < 16; ++j) {
                acc[g] = tg_add_wrap_mve(acc[g], window[i + j] * v[j]);
            }
            v += 16;
        }
    }
    return &w[(n / 4) * gates];
}

#endif

/** The padded bytes of x or h in a window. */
static TG_INLINE int32_t tg_vectors_mve(int32_t turns)
{
    return 16 * (turns + 1);
}

#ifdef __cplusplus
}
#endif

#endif /* TG_RECURRENT_MVE_H_INCLUDED */
