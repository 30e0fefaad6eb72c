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

/** One more byte of a quotient: its low 32 bits, and what is left. */
static inline uint32_t tg_divide_byte(uint32_t q, uint32_t *rest, uint32_t byte, uint32_t d)
{
    const uint32_t n = (*rest << 8) | byte; /* the rest is below d, so this is below 2^32 */
    const uint32_t digit = n / d;
    *rest = n - (digit * d);
    return (q << 8) | digit;
}

/** (2^32 * rest + low) / d, rounded down. rest < d < 2^24. */
static inline uint32_t tg_divide_word(uint32_t rest, uint32_t low, uint32_t d)
{
    uint32_t q = tg_divide_byte(0U, &rest, low >> 24, d);
    q = tg_divide_byte(q, &rest, (low >> 16) & 0xFFU, d);
    q = tg_divide_byte(q, &rest, (low >> 8) & 0xFFU, d);
    return tg_divide_byte(q, &rest, low & 0xFFU, d);
}

/** n / d, rounded down. 0 < d < 2^24. */
static inline uint64_t tg_divide(uint64_t n, uint32_t d)
{
    const uint32_t high = (uint32_t)(n >> 32);
    return ((uint64_t)(high / d) << 32) | tg_divide_word(high % d, (uint32_t)n, d);
}

#ifdef __cplusplus
}
#endif

#endif /* TG_DIVIDE_H_INCLUDED */
