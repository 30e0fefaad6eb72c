/**
 * @file  tg_norm.h
 * @brief What normalisations share: from sums to the factors of a set of values (docs/NUMERICS.md section 10).
 */
#ifndef TG_NORM_H_INCLUDED
#define TG_NORM_H_INCLUDED

#include "tg_numerics.h"
#include "tg_rsqrt.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What all values of a set are treated with. */
typedef struct {
    int32_t n;
    int32_t total; /**< sum of the values, 0 where the mean stays */
    int32_t root;  /**< about 2^62 / sqrt(v) by a power of two */
    int32_t up;    /**< n * x - total is shifted left by so much, or right */
} tg_norm_set_t;

/** Leading zeros of v, at most 63 of them. */
static inline uint32_t tg_leading_zeros(uint64_t v)
{
    uint32_t w = (uint32_t)(v >> 32);
    uint32_t count = 0U;
    if (w == 0U) {
        w = (uint32_t)v;
        count = 32U;
    }
#if defined(__GNUC__) && !TG_SMALL_CORE
    count += (uint32_t)__builtin_clz(w);
#else
    for (uint32_t step = 16U; step > 0U; step >>= 1) {
        if ((w >> (32U - step)) == 0U) {
            w <<= step;
            count += step;
        }
    }
#endif
    return count;
}

/** `v`: n * sum of squares - total^2, with eps; 1 <= v < 2^63. `down`: least h with sqrt(n) <= 2^h, plus 1. */
static inline tg_norm_set_t tg_norm_set(uint32_t n, int32_t total, uint64_t v, uint32_t down)
{
    const uint32_t p = tg_leading_zeros(v) & ~1U;
    tg_norm_set_t s;
    s.n = (int32_t)n;
    s.total = total;
    s.root = tg_rsqrt((uint32_t)((v << p) >> 32));
    s.up = (int32_t)(p / 2U) - (int32_t)down;
    return s;
}

/** A value as (x - mean) / deviation in Q(30 - down). |n * x - total| < 2^31; shifted it still is (section 10). */
static inline int32_t tg_norm_value(const tg_norm_set_t *s, int32_t x)
{
    const int32_t d = (s->n * x) - s->total;
    const int32_t a = (s->up >= 0) ? (int32_t)((uint32_t)d << s->up) : (d >> -s->up);
    return tg_mul_high(a, s->root);
}

#ifdef __cplusplus
}
#endif

#endif /* TG_NORM_H_INCLUDED */
