/**
 * @file  tg_recurrent_dsp.h
 * @brief Steps of recurrent layers on DSP cores: what generated kernels read.
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

#ifdef __cplusplus
}
#endif

#endif /* TG_RECURRENT_DSP_H_INCLUDED */
