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

/** acc[j] += sum x[i] * w[j * step + i], four rows of weights: x is loaded once for four products. */
static inline void tg_dot4_s8(const int8_t *x, const int8_t *w, int32_t step, int32_t n, int32_t acc[4])
{
    const int8_t *const x_end = &x[n];
    const int8_t *w0 = w;
    const int8_t *w1 = &w0[step];
    const int8_t *w2 = &w1[step];
    const int8_t *w3 = &w2[step];
    int32_t a0 = acc[0];
    int32_t a1 = acc[1];
    int32_t a2 = acc[2];
    int32_t a3 = acc[3];
    while (x != x_end) {
        const int32_t v = *x;
        ++x;
        a0 += v * *w0;
        ++w0;
        a1 += v * *w1;
        ++w1;
        a2 += v * *w2;
        ++w2;
        a3 += v * *w3;
        ++w3;
    }
    acc[0] = a0;
    acc[1] = a1;
    acc[2] = a2;
    acc[3] = a3;
}

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
