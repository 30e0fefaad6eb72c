/**
 * @file  tg_dot_s16.h
 * @brief Inner products of int16 values with int8 weights, the inner loop of the ref kernels.
 */
#ifndef TG_DOT_S16_H_INCLUDED
#define TG_DOT_S16_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Several runs: `runs` of n >= 1 values each, x_step and w_step from one to the next. */
typedef struct {
    int32_t runs;
    int32_t n;
    int32_t x_step;
    int32_t w_step;
} tg_runs16_t;

/** acc + the sum of x * w over all runs. */
static inline int32_t tg_dot_s16(const tg_runs16_t *r, const int16_t *x, const int8_t *w, int32_t acc)
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

/** acc[j] += the sum of x * w over all runs, for two rows of weights, `next` apart. */
static TG_NOINLINE void tg_dot2_s16(const tg_runs16_t *r, const int16_t *x, const int8_t *w, int32_t next,
                                    int32_t acc[2])
{
    const int32_t n = r->n;
    int32_t a0 = acc[0];
    int32_t a1 = acc[1];
    for (int32_t left = r->runs; left > 0; --left) {
        const int16_t *v = x;
        const int8_t *k = w;
        const int8_t *const end = &w[n];
        while (k != end) {
            a0 += *v * *k;
            a1 += *v * k[next];
            ++v;
            ++k;
        }
        x += r->x_step;
        w += r->w_step;
    }
    acc[0] = a0;
    acc[1] = a1;
}

static inline void tg_dot4_s16(const tg_runs16_t *r, const int16_t *x, const int8_t *w, int32_t next, int32_t acc[4])
{
    tg_dot2_s16(r, x, w, next, acc);
    tg_dot2_s16(r, x, &w[2 * next], next, &acc[2]);
}

#else

/** acc[j] += the sum of x * w over all runs, for four rows of weights, `next` apart: x is loaded once for four. */
static TG_NOINLINE void tg_dot4_s16(const tg_runs16_t *r, const int16_t *x, const int8_t *w, int32_t next,
                                    int32_t acc[4])
{
    const int32_t n = r->n;
    int32_t a0 = acc[0];
    int32_t a1 = acc[1];
    int32_t a2 = acc[2];
    int32_t a3 = acc[3];
    for (int32_t left = r->runs; left > 0; --left) {
        const int16_t *const x_end = &x[n];
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

#endif /* TG_DOT_S16_H_INCLUDED */
