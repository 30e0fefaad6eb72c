/**
 * @file  tg_length.h
 * @brief Square roots of sums of squares, scaled (docs/NUMERICS.md section 10).
 */
#ifndef TG_LENGTH_H_INCLUDED
#define TG_LENGTH_H_INCLUDED

#include "tg_norm.h"

#ifdef __cplusplus
extern "C" {
#endif

/** m * 2^-shift * sqrt(v), rounded, at most 2^16. v < 2^44, m < 2^31, shift <= 32. */
static inline int32_t tg_length(uint64_t v, int32_t m, uint32_t shift)
{
    uint32_t q = 0U;
    if (v != 0U) {
        const uint32_t p = tg_leading_zeros(v) & ~1U;
        const uint32_t w = (uint32_t)((v << p) >> 32);
        const uint32_t root = (uint32_t)(((uint64_t)w * (uint32_t)tg_rsqrt(w)) >> 31);
        const uint32_t down = (p / 2U) + shift - 1U;
        const uint64_t scaled = (((uint64_t)root * (uint32_t)m) + ((uint64_t)1U << (down - 1U))) >> down;
        q = (scaled < 65536U) ? (uint32_t)scaled : 65536U;
    }
    return (int32_t)q;
}

#ifdef __cplusplus
}
#endif

#endif /* TG_LENGTH_H_INCLUDED */
