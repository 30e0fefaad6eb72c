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

/** acc + sum x[i] * w[i], i < n. */
static inline int32_t tg_dot_s8(const int8_t *x, const int8_t *w, int32_t n, int32_t acc)
{
    for (int32_t i = 0; i < n; ++i) {
        acc += x[i] * w[i];
    }
    return acc;
}

#if TG_SMALL_CORE

/** acc[j] += sum x[i] * w[j * step + i], n >= 1. Two rows of weights, one index: all in the eight low registers. */
static TG_NOINLINE void tg_dot2_s8(const int8_t *x, const int8_t *w, int32_t step, int32_t n, int32_t acc[2])
{
    const int8_t *const x_end = &x[n];
    const int8_t *const w0 = &w[n];
    const int8_t *const w1 = &w0[step];
    int32_t a0 = acc[0];
    int32_t a1 = acc[1];
    for (int32_t i = -n; i != 0; ++i) {
        const int32_t v = x_end[i];
        a0 += v * w0[i];
        a1 += v * w1[i];
    }
    acc[0] = a0;
    acc[1] = a1;
}

static inline void tg_dot4_s8(const int8_t *x, const int8_t *w, int32_t step, int32_t n, int32_t acc[4])
{
    tg_dot2_s8(x, w, step, n, acc);
    tg_dot2_s8(x, &w[2 * step], step, n, &acc[2]);
}

#else

/** acc[j] += sum x[i] * w[j * step + i], n >= 1, four rows of weights: x is loaded once for four products. */
static TG_NOINLINE void tg_dot4_s8(const int8_t *x, const int8_t *w, int32_t step, int32_t n, int32_t acc[4])
{
    const int8_t *const x_end = &x[n];
    const int8_t *const w0 = &w[n];
    const int8_t *const w1 = &w0[step];
    const int8_t *const w2 = &w1[step];
    const int8_t *const w3 = &w2[step];
    int32_t a0 = acc[0];
    int32_t a1 = acc[1];
    int32_t a2 = acc[2];
    int32_t a3 = acc[3];
    for (int32_t i = -n; i != 0; ++i) {
        const int32_t v = x_end[i];
        a0 += v * w0[i];
        a1 += v * w1[i];
        a2 += v * w2[i];
        a3 += v * w3[i];
    }
    acc[0] = a0;
    acc[1] = a1;
    acc[2] = a2;
    acc[3] = a3;
}

#endif

/** Sum of n weights: what a run of padding contributes, divided by the zero point. */
static inline int32_t tg_sum_s8(const int8_t *w, int32_t n)
{
    int32_t sum = 0;
    for (int32_t i = 0; i < n; ++i) {
        sum += w[i];
    }
    return sum;
}

#ifdef __cplusplus
}
#endif

#endif /* TG_DOT_S8_H_INCLUDED */
