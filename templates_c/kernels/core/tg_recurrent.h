/**
 * @file  tg_recurrent.h
 * @brief One unit of an LSTM, GRU or RNN from its sums. docs/NUMERICS.md section 9; twin of tinygen/ops/cells.py.
 */
#ifndef TG_RECURRENT_H_INCLUDED
#define TG_RECURRENT_H_INCLUDED

#include "tg_gate.h"
#include "tg_numerics.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The clamp of sums, behind that to int16. */
typedef struct {
    int32_t lo;
    int32_t hi;
} tg_sums_t;

/** The end of a step: a multiplier < 2^15 and a shift to the integers of h. */
typedef struct {
    int32_t m;
    uint32_t shift;
    int32_t lo;
    int32_t hi;
} tg_narrowing_t;

static inline int32_t tg_sat16(int32_t v)
{
    return tg_clamp(v, -32768, 32767);
}

/** tg_requant; quick for the usual shift, while 256 times a sum fits int32. */
static inline int32_t tg_sum_out(int32_t acc, int32_t m, uint32_t shift)
{
    int32_t r;
    if ((shift == 24U) && (acc >= -8388608) && (acc <= 8388607)) {
        const uint32_t wide = (uint32_t)acc << 8;
        r = tg_mul_high((int32_t)wide, m) + (int32_t)((wide * (uint32_t)m) >> 31); /* rounds */
    } else {
        r = tg_requant(acc, m, shift);
    }
    return r;
}

/** a * b >> 16, -2^15 <= b < 2^15, where that fits int32: from two products of 16 bits. */
static inline int32_t tg_mul_word_half(int32_t a, int32_t b)
{
    return ((a >> 16) * b) + (((int32_t)((uint32_t)a & 0xFFFFU) * b) >> 16);
}

/** A function's table, from its middle, and the shift of its slopes. */
typedef struct {
    const int32_t *middle;
    uint32_t shift;
} tg_curve_t;

static inline int32_t tg_curve(const tg_curve_t *f, int32_t v)
{
    return tg_gate_at(f->middle, tg_sat16(v), f->shift);
}

/** The curve at sum p, moved up into the range of the table. */
static inline int32_t tg_moved_curve(const tg_curve_t *f, int32_t p, uint32_t up)
{
    return tg_curve(f, p * (int32_t)(1UL << up));
}

/** v / 2^down, to the nearest, halves up. */
static inline int32_t tg_round_down(int32_t v, uint32_t down)
{
    return (v + (int32_t)((1UL << down) >> 1)) >> down;
}

/** The integers of h from a product of two int16. */
static inline int32_t tg_narrow_product(const tg_narrowing_t *out, int32_t p)
{
    return tg_clamp(tg_round_down(tg_mul_word_half(p, out->m), out->shift), out->lo, out->hi);
}

/** The integers of h from an int16. */
static inline int32_t tg_narrow_value(const tg_narrowing_t *out, int32_t v)
{
    return tg_clamp(tg_round_down(v * out->m, out->shift), out->lo, out->hi);
}

/** All that an LSTM's units share. */
typedef struct {
    tg_sums_t sums;
    uint32_t f_up;
    uint32_t g_up;
    uint32_t c_up;
    uint32_t ig_down;
    uint32_t t_down;
    uint32_t coupled;
    uint32_t peep_shift; /**< 0: no peepholes */
    tg_curve_t f;
    tg_curve_t g;
    tg_curve_t t;
    const int32_t *peep; /**< [3][units]: of i, o, f */
    int32_t units;
    tg_narrowing_t out;
} tg_lstm_t;

/** The gate of a sum that sees the cell through a peephole, if there are any. */
static inline int32_t tg_lstm_gate(const tg_lstm_t *k, int32_t p, int32_t cell, const int32_t *peep)
{
    if (k->peep_shift != 0U) {
        p = tg_sat16(p + tg_requant(cell, *peep, k->peep_shift));
    }
    return tg_moved_curve(&k->f, tg_clamp(p, k->sums.lo, k->sums.hi), k->f_up);
}

/** p: the unit's sums of i, o, f, c, int16; returns h. */
static inline int32_t tg_lstm_unit(const tg_lstm_t *k, int32_t unit, const int32_t p[4], int32_t *cell)
{
    const int32_t *const peep = (k->peep_shift != 0U) ? &k->peep[unit] : k->peep;
    const int32_t next = (k->peep_shift != 0U) ? k->units : 0;
    const int32_t i = tg_lstm_gate(k, p[0], *cell, peep);
    const int32_t g = tg_moved_curve(&k->g, tg_clamp(p[3], k->sums.lo, k->sums.hi), k->g_up);
    int32_t f;
    int32_t o;
    int32_t c;
    if (k->coupled != 0U) {
        f = tg_clamp(32768 - i, 0, 32767);
    } else {
        f = tg_lstm_gate(k, p[2], *cell, &peep[2 * next]);
    }
    c = (tg_mul_word_half(*cell, f) * (int32_t)(1UL << k->c_up)) + tg_round_down(i * g, k->ig_down);
    c = tg_clamp(c, -8388608, 8388607); /* 24 bits */
    *cell = c;
    o = tg_lstm_gate(k, p[1], c, &peep[next]);
    return tg_narrow_product(&k->out, o * tg_curve(&k->t, tg_round_down(c, k->t_down)));
}

/** All that a GRU's units share. */
typedef struct {
    tg_sums_t sums;
    uint32_t f_up;
    uint32_t g_up;
    uint32_t r_down;
    uint32_t z_down;
    tg_curve_t f;
    tg_curve_t g;
    tg_narrowing_t out;
} tg_gru_t;

/** The update or reset gate of a sum. */
static inline int32_t tg_gru_gate(const tg_gru_t *k, int32_t p)
{
    return tg_moved_curve(&k->f, tg_clamp(tg_sat16(p), k->sums.lo, k->sums.hi), k->f_up);
}

/** The new state, from the update gate, the sum of the candidate and the old state. */
static inline int32_t tg_gru_unit(const tg_gru_t *k, int32_t z, int32_t p, int32_t state)
{
    const int32_t n = tg_moved_curve(&k->g, tg_clamp(tg_sat16(p), k->sums.lo, k->sums.hi), k->g_up);
    return tg_sat16(n + tg_round_down(z * (state - n), k->z_down));
}

#ifdef __cplusplus
}
#endif

#endif /* TG_RECURRENT_H_INCLUDED */
