/**
 * @file  tg_exp2.h
 * @brief Exponentials of int16 differences (docs/NUMERICS.md section 8).
 */
#ifndef TG_EXP2_H_INCLUDED
#define TG_EXP2_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

/** rint(65536 * 2^(-j / 64)), j = 0..64. */
static const int32_t tg_exp2_table[65] = {
    65536, 64830, 64132, 63441, 62757, 62081, 61413, 60751, 60097, 59449, 58809, 58176, 57549,
    56929, 56316, 55709, 55109, 54515, 53928, 53347, 52773, 52204, 51642, 51085, 50535, 49991,
    49452, 48920, 48393, 47871, 47356, 46846, 46341, 45842, 45348, 44859, 44376, 43898, 43425,
    42958, 42495, 42037, 41584, 41136, 40693, 40255, 39821, 39392, 38968, 38548, 38133, 37722,
    37316, 36914, 36516, 36123, 35734, 35349, 34968, 34591, 34219, 33850, 33486, 33125, 32768,
};

/** How a difference becomes an exponent to base 2: d * m fits uint32 for d < len; from len on the exponential is 0. */
typedef struct {
    uint32_t m;
    uint32_t shift;
    uint32_t len;
} tg_exp2_t;

/** exp(-scale * d) in Q16. */
static inline uint32_t tg_exp2_q16(const tg_exp2_t *rule, uint32_t d)
{
    uint32_t e = 0U;
    if (d < rule->len) {
        const uint32_t t = (d * rule->m) >> rule->shift; /* -log2, Q16 */
        const uint32_t j = (t >> 10) & 63U;
        const uint32_t n = t >> 16; /* at most 17: behind that len has cut */
        const int32_t r = (int32_t)(t & 1023U);
        const int32_t step = tg_exp2_table[j] - tg_exp2_table[j + 1U];
        const int32_t v = tg_exp2_table[j] - (((step * r) + 512) >> 10);
        e = ((uint32_t)v + (((uint32_t)1U << n) >> 1)) >> n;
    }
    return e;
}

/** The sum of the exponentials of top - x[i], at most 4096 of them. */
static TG_NOINLINE uint32_t tg_exp2_sum(const tg_exp2_t *rule, const int16_t *x, uint32_t n, int32_t top)
{
    uint32_t sum = 0U;
    for (uint32_t i = 0U; i < n; ++i) {
        sum += tg_exp2_q16(rule, (uint32_t)(top - x[i]));
    }
    return sum;
}

/** The largest of n >= 1 values. */
static inline int32_t tg_top_s16(const int16_t *x, uint32_t n)
{
    int32_t top = x[0];
    for (uint32_t i = 1U; i < n; ++i) {
        top = (x[i] > top) ? x[i] : top;
    }
    return top;
}

#ifdef __cplusplus
}
#endif

#endif /* TG_EXP2_H_INCLUDED */
