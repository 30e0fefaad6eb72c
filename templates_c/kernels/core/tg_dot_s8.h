/**
 * @file  tg_dot_s8.h
 * @brief Inner products of int8 runs, the inner loop of the ref kernels. Byte loads only: any alignment.
 */
#ifndef TG_DOT_S8_H_INCLUDED
#define TG_DOT_S8_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Several runs of bytes: `runs` of n >= 1 values each, x_step and w_step from one to the next. */
typedef struct {
    int32_t runs;
    int32_t n;
    int32_t x_step;
    int32_t w_step;
} tg_runs_t;

/** acc + the sum of x * w over all runs. */
static inline int32_t tg_dot_s8(const tg_runs_t *r, const int8_t *x, const int8_t *w, int32_t acc)
{
    for (int32_t left = r->runs; left > 0; --left) {
        for (int32_t i = 0; i < r->n; ++i) {
            acc += x[i] * w[i];
        }
        x += r->x_step;
        w += r->w_step;
    }
    return acc;
}

#if TG_SMALL_CORE

/** Two rows of weights, `next` apart, and one index: all of the inner loop in the eight low registers. */
static TG_NOINLINE void tg_dot2_s8(const tg_runs_t *r, const int8_t *x, const int8_t *w, int32_t next, int32_t acc[2])
{
    const int32_t n = r->n;
    const int8_t *x_end = &x[n];
    const int8_t *w_end = &w[n];
    int32_t a0 = acc[0];
    int32_t a1 = acc[1];
    for (int32_t left = r->runs; left > 0; --left) {
        const int8_t *const w1 = &w_end[next];
        for (int32_t i = -n; i != 0; ++i) {
            const int32_t v = x_end[i];
            a0 += v * w_end[i];
            a1 += v * w1[i];
        }
        x_end += r->x_step;
        w_end += r->w_step;
    }
    acc[0] = a0;
    acc[1] = a1;
}

static inline void tg_dot4_s8(const tg_runs_t *r, const int8_t *x, const int8_t *w, int32_t next, int32_t acc[4])
{
    tg_dot2_s8(r, x, w, next, acc);
    tg_dot2_s8(r, x, &w[2 * next], next, &acc[2]);
}

#else

/** acc[j] += the sum of x * w over all runs, for four rows of weights, `next` apart: x is loaded once for four. */
static TG_NOINLINE void tg_dot4_s8(const tg_runs_t *r, const int8_t *x, const int8_t *w, int32_t next, int32_t acc[4])
{
    const int32_t n = r->n;
    int32_t a0 = acc[0];
    int32_t a1 = acc[1];
    int32_t a2 = acc[2];
    int32_t a3 = acc[3];
    for (int32_t left = r->runs; left > 0; --left) {
        const int8_t *const x_end = &x[n];
        const int8_t *const w0 = &w[n];
        const int8_t *const w1 = &w0[next];
        const int8_t *const w2 = &w1[next];
        const int8_t *const w3 = &w2[next];
        for (int32_t i = -n; i != 0; ++i) { /* unrolled it would spill */
            const int32_t v = x_end[i];
            a0 += v * w0[i];
            a1 += v * w1[i];
            a2 += v * w2[i];
            a3 += v * w3[i];
        }
        x += r->x_step;
        w += r->w_step;
    }
    acc[0] = a0;
    acc[1] = a1;
    acc[2] = a2;
    acc[3] = a3;
}

#endif

#ifdef __cplusplus
}
#endif

#endif /* TG_DOT_S8_H_INCLUDED */
