/**
 * @file  tg_divide.h
 * @brief Division of 64 bits by less than 24, by eight divisions of 32: none of the compiler's library.
 */
#ifndef TG_DIVIDE_H_INCLUDED
#define TG_DIVIDE_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

/** n / d, rounded down. 0 < d < 2^24. Eight bits of n at a time: the rest is below d, so with them below 2^32. */
static inline uint64_t tg_divide(uint64_t n, uint32_t d)
{
    uint32_t word[2];
    uint32_t rest = 0U;
    word[0] = (uint32_t)(n >> 32);
    word[1] = (uint32_t)n;
    for (uint32_t i = 0U; i < 2U; ++i) {
        uint32_t q = 0U;
        for (uint32_t k = 0U; k < 4U; ++k) {
            rest = (rest << 8) | (word[i] >> 24);
            word[i] <<= 8;
            q = (q << 8) | (rest / d);
            rest %= d;
        }
        word[i] = q;
    }
    return ((uint64_t)word[0] << 32) | word[1];
}

#ifdef __cplusplus
}
#endif

#endif /* TG_DIVIDE_H_INCLUDED */
