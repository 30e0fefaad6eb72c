/**
 * @file  tg_recurrent_dsp.h
 * @brief Steps of recurrent layers on DSP cores: what generated kernels read, and the same in C.
 *
 * A window holds [x | h] in halves. The stream of weights comes in blocks of two units with all their gates: biases,
 * words of W, multipliers, (GRU: biases of the candidate's h), words of R, multipliers. A word is two neighbouring
 * halves of the window for two units, 256 * odd + even each (raw pairs, tg_dense_s8_dsp.h), gate by gate; biases and
 * multipliers come even and odd by turns, an odd bias as 256 * odd + even.
 *
 * Or what x brings is worked out for two steps at once, two row pairs at a time: 4 biases, words of W, 4 multipliers.
 * Then it is in memory, a pair of halves for each gate of a block, and blocks begin with R.
 */
#ifndef TG_RECURRENT_DSP_H_INCLUDED
#define TG_RECURRENT_DSP_H_INCLUDED

#include "tg_gate.h"
#include "tg_isa_dsp.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The assembly reads the members by position. */
typedef struct {
    const int32_t *w; /**< the stream */
    const int32_t *w_end;
    const int32_t *gates; /**< middles of tables: of the gates, */
    const int32_t *inner; /**< of the input, */
    int32_t *c;           /**< the cells */
    const int32_t *outer; /**< and of the cell */
    int32_t m;            /**< int16, to the integers of h */
    int32_t x_bytes;      /**< of x and of h in the window; no x: */
    int32_t h_bytes;
    const int32_t *px; /**< what x brings */
} tg_lstm_step_t;

/** Likewise. */
typedef struct {
    const int32_t *w;
    const int32_t *w_end;
    const int32_t *gates;
    const int32_t *inner; /**< of the candidate */
    int16_t *state;
    int32_t m;
    int32_t x_bytes;
    int32_t h_bytes;
    const int32_t *px;
} tg_gru_step_t;

/** What x brings to the sums of two steps. */
typedef struct {
    const int32_t *w;
    const int32_t *w_end;
    int32_t *first; /**< pairs of halves of the first step, and of the second */
    int32_t *second;
} tg_inputs_step_t;

/** h: in the window of the next step; y: one byte a unit. Both and cells or state for an even number of units. */
typedef void (*tg_lstm_step_fn_t)(const tg_lstm_step_t *s, const int16_t *window, int16_t *h, int8_t *y);
typedef void (*tg_gru_step_fn_t)(const tg_gru_step_t *s, const int16_t *window, int16_t *h, int8_t *y);

/** The window holds x of the first step, behind it that of the second. */
typedef void (*tg_inputs_step_fn_t)(const tg_inputs_step_t *s, const int16_t *window);

/** Widen n bytes, four at a time in the order 0, 2, 1, 3. */
static TG_INLINE void tg_window_fill(int16_t *window, const int8_t *x, int32_t n)
{
    while (n >= 4) {
        const uint32_t four = tg_load32(x);
        tg_store32(window, tg_sxtb16(four));
        tg_store32(&window[2], tg_sxtb16_ror8(four));
        window += 4;
        x += 4;
        n -= 4;
    }
    while (n > 0) {
        *window = *x;
        ++window;
        ++x;
        --n;
    }
}

/** The windows of a layer in its scratch: of this step and of the next, or x of two steps and h of each. */
typedef struct {
    int16_t *now;
    int16_t *next;
    uint32_t h_at; /**< of h in them, halves */
    uint32_t n_in;
    int16_t *first; /**< the two places for x */
    int16_t *second;
    tg_inputs_step_fn_t inputs;
    tg_inputs_step_t of_x;
    int32_t *end; /**< of all that */
} tg_windows_t;

static TG_INLINE void tg_window_clear(int16_t *from, const int16_t *end)
{
    while (from != end) {
        *from = 0;
        ++from;
    }
}

/** Halves behind x and behind h are 0, and so is the first h. `inputs`: x of two steps at once, if not NULL. */
static TG_INLINE void tg_windows_init(tg_windows_t *v, tg_inputs_step_fn_t inputs, int16_t *scratch, uint32_t n_in,
                                      uint32_t x_bytes, uint32_t n_hidden, uint32_t h_bytes)
{
    const uint32_t x_halves = x_bytes / 2U;
    const uint32_t h_halves = h_bytes / 2U;
    const uint32_t x_both = (inputs != NULL) ? (2U * x_halves) : 0U;
    v->inputs = inputs;
    v->h_at = (inputs != NULL) ? 0U : x_halves;
    v->n_in = n_in;
    v->first = scratch;
    v->now = &scratch[x_both];
    v->next = &v->now[v->h_at + h_halves];
    v->second = (inputs != NULL) ? &scratch[x_halves] : v->next;
    tg_window_clear(&v->first[n_in], &v->first[x_halves]);
    tg_window_clear(&v->second[n_in], &v->second[x_halves]);
    tg_window_clear(&v->now[v->h_at], &v->now[v->h_at + h_halves]);
    tg_window_clear(&v->next[v->h_at + n_hidden], &v->next[v->h_at + h_halves]);
    v->end = (int32_t *)(void *)&v->next[v->h_at + h_halves];
}

/** What of x: in w up to the first `words`, px_words for a step. */
static TG_INLINE void tg_windows_inputs(tg_windows_t *v, const int32_t *w, uint32_t words, uint32_t px_words)
{
    v->of_x.w = w;
    v->of_x.w_end = &w[words];
    v->of_x.first = v->end;
    v->of_x.second = &v->end[px_words];
    v->end = &v->end[2U * px_words];
}

/** x of a step into its window, or what x brings, worked out at every other step for the next too, if there is one. */
static TG_INLINE const int32_t *tg_windows_x(const tg_windows_t *v, uint32_t step, const int8_t *x,
                                             const int8_t *next_x)
{
    const int32_t *px = v->of_x.second;
    if (v->inputs == NULL) {
        tg_window_fill(v->now, x, (int32_t)v->n_in);
    } else if ((step & 1U) == 0U) {
        tg_window_fill(v->first, x, (int32_t)v->n_in);
        if (next_x != NULL) {
            tg_window_fill(v->second, next_x, (int32_t)v->n_in);
        }
        v->inputs(&v->of_x, v->first);
        px = v->of_x.first;
    } else {
        /* the step before did it */
    }
    return px;
}

/** The next step's window becomes this one's. */
static TG_INLINE void tg_windows_turn(tg_windows_t *v)
{
    int16_t *const last = v->now;
    v->now = v->next;
    v->next = last;
}

#if !TG_DSP_NAKED

/** Shifts of an LSTM that are part of a kernel's code: as in tg_lstm_s8_cfg_t, and those of the tables. */
typedef struct {
    uint8_t f_up;
    uint8_t g_up;
    uint8_t c_up;
    uint8_t ig_down;
    uint8_t t_down;
    uint8_t h_down;
    uint8_t gate_r;
    uint8_t inner_r;
    uint8_t outer_r;
} tg_lstm_shifts_t;

/** Likewise of a GRU. */
typedef struct {
    uint8_t f_up;
    uint8_t g_up;
    uint8_t r_down;
    uint8_t z_down;
    uint8_t h_down;
    uint8_t gate_r;
    uint8_t inner_r;
} tg_gru_shifts_t;

/** v / 2^down to the nearest, halves up. */
static TG_INLINE int32_t tg_step_round(int32_t v, uint32_t down)
{
    return (v + (int32_t)((1UL << down) >> 1)) >> down;
}

/** a * b >> 16, b an int16: SMULW. */
static TG_INLINE int32_t tg_smulw(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b) >> 16);
}

/** Sums of two units, `gates` of them, even and odd by turns, 256 times as large in the end; returns the stream. */
static TG_INLINE const int32_t *tg_step_sums(const int32_t *w, const int16_t *window, int32_t bytes, int32_t gates,
                                             int32_t *sums)
{
    for (int32_t k = bytes / 4; k > 0; --k) {
        const uint32_t x = tg_load32(window);
        for (int32_t g = 0; g < gates; ++g) {
            sums[(2 * g) + 1] = tg_smlad((uint32_t)w[g], x, sums[(2 * g) + 1]);
            sums[2 * g] = tg_smlad(tg_sxtb16((uint32_t)w[g]), x, sums[2 * g]);
        }
        window += 2;
        w += gates;
    }
    for (int32_t g = 0; g < gates; ++g) {
        sums[(2 * g) + 1] = (int32_t)((uint32_t)sums[(2 * g) + 1] - (uint32_t)sums[2 * g]);
        sums[2 * g] = (int32_t)((uint32_t)sums[2 * g] << 8);
    }
    return w;
}

/** What x brings to 2 * gates sums: from memory, or requantised, int16. */
static TG_INLINE const int32_t *tg_step_from_x(const int32_t *w, const int16_t *window, int32_t bytes, int32_t gates,
                                               int32_t *px)
{
    for (int32_t i = 0; i < (2 * gates); ++i) {
        px[i] = w[i];
    }
    w = tg_step_sums(&w[2 * gates], window, bytes, gates, px);
    for (int32_t i = 0; i < (2 * gates); ++i) {
        px[i] = tg_ssat16(tg_smmlar(px[i], w[i], 0));
    }
    return &w[2 * gates];
}

/** The same, where it is in memory. */
static TG_INLINE void tg_step_given(const int32_t *pairs, int32_t gates, int32_t *px)
{
    for (int32_t i = 0; i < gates; ++i) {
        px[2 * i] = (int16_t)(uint16_t)((uint32_t)pairs[i] & 0xFFFFU);
        px[(2 * i) + 1] = pairs[i] >> 16;
    }
}

/** What x brings to the sums of two steps, which lie behind each other in the window. */
static TG_INLINE void tg_inputs_step_plain(int32_t words, const tg_inputs_step_t *s, const int16_t *window)
{
    const int32_t *w = s->w;
    int32_t *to[2];
    to[0] = s->first;
    to[1] = s->second;
    while (w != s->w_end) {
        const int32_t *end = w;
        for (int32_t i = 0; i < 2; ++i) {
            int32_t px[4];
            end = tg_step_from_x(w, &window[2 * words * i], 4 * words, 2, px);
            to[i][0] = (int32_t)tg_pkhbt((uint32_t)px[0], (uint32_t)px[1]);
            to[i][1] = (int32_t)tg_pkhbt((uint32_t)px[2], (uint32_t)px[3]);
            to[i] += 2;
        }
        w = end;
    }
}

/** v moved up into the range of a table, through it. */
static TG_INLINE int32_t tg_step_curve(const int32_t *middle, int32_t v, uint32_t up, uint32_t shift)
{
    return tg_gate_at(middle, tg_ssat16(v * (int32_t)(1UL << up)), shift);
}

/** A step of an LSTM, two units at a time: where there is no assembly. */
static TG_INLINE void tg_lstm_step_plain(const tg_lstm_shifts_t *k, const tg_lstm_step_t *s, const int16_t *window,
                                         int16_t *h, int8_t *y)
{
    const int32_t *w = s->w;
    const int32_t *pairs = s->px;
    int32_t *c = s->c;
    while (w != s->w_end) {
        int32_t px[8];
        int32_t p[8] = {0, 0, 0, 0, 0, 0, 0, 0};
        if (s->x_bytes != 0) {
            w = tg_step_from_x(w, window, s->x_bytes, 4, px);
        } else {
            tg_step_given(pairs, 4, px);
            pairs += 4;
        }
        w = tg_step_sums(w, &window[s->x_bytes / 2], s->h_bytes, 4, p);
        for (int32_t i = 0; i < 8; ++i) {
            p[i] = tg_smmlar(p[i], w[i], px[i]);
        }
        w += 8;
        for (int32_t i = 0; i < 2; ++i) {
            const int32_t in = tg_step_curve(s->gates, p[i], k->f_up, k->gate_r);
            const int32_t out = tg_step_curve(s->gates, p[2 + i], k->f_up, k->gate_r);
            const int32_t keep = tg_step_curve(s->gates, p[4 + i], k->f_up, k->gate_r);
            const int32_t new_in = in * tg_step_curve(s->inner, p[6 + i], k->g_up, k->inner_r);
            int32_t cell = tg_smulw(*c, keep) * (int32_t)(1UL << k->c_up);
            int32_t v;
            cell += tg_step_round(new_in, k->ig_down);
            cell = (cell < -8388608) ? -8388608 : ((cell > 8388607) ? 8388607 : cell);
            v = out * tg_gate_at(s->outer, tg_ssat16(tg_step_round(cell, k->t_down)), k->outer_r);
            v = tg_ssat8(tg_step_round(tg_smulw(v, s->m), k->h_down));
            *c = cell;
            *h = (int16_t)v;
            *y = (int8_t)v;
            ++c;
            ++h;
            ++y;
        }
    }
}

/** A step of a GRU, likewise. */
static TG_INLINE void tg_gru_step_plain(const tg_gru_shifts_t *k, const tg_gru_step_t *s, const int16_t *window,
                                        int16_t *h, int8_t *y)
{
    const int32_t *w = s->w;
    const int32_t *pairs = s->px;
    int16_t *state = s->state;
    while (w != s->w_end) {
        int32_t px[6];
        int32_t p[6] = {0, 0, 0, 0, 0, 0};
        if (s->x_bytes != 0) {
            w = tg_step_from_x(w, window, s->x_bytes, 3, px);
        } else {
            tg_step_given(pairs, 3, px);
            pairs += 3;
        }
        p[4] = w[0];
        p[5] = w[1];
        w = tg_step_sums(&w[2], &window[s->x_bytes / 2], s->h_bytes, 3, p);
        for (int32_t i = 0; i < 6; ++i) {
            p[i] = tg_smmlar(p[i], w[i], (i < 4) ? px[i] : 0);
        }
        w += 6;
        for (int32_t i = 0; i < 2; ++i) {
            const int32_t z = tg_step_curve(s->gates, p[i], k->f_up, k->gate_r);
            const int32_t r = tg_step_curve(s->gates, p[2 + i], k->f_up, k->gate_r);
            const int32_t inside = px[4 + i] + tg_step_round(r * tg_ssat16(p[4 + i]), k->r_down);
            const int32_t n = tg_step_curve(s->inner, inside, k->g_up, k->inner_r);
            const int32_t v = tg_ssat16(n + tg_step_round(z * (*state - n), k->z_down));
            const int32_t narrow = tg_ssat8(tg_step_round(v * s->m, k->h_down));
            *state = (int16_t)v;
            *h = (int16_t)narrow;
            *y = (int8_t)narrow;
            ++state;
            ++h;
            ++y;
        }
    }
}

#endif

#ifdef __cplusplus
}
#endif

#endif /* TG_RECURRENT_DSP_H_INCLUDED */
