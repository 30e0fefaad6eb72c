/**
 * @file  tg_quotient.h
 * @brief Quotients of integers (docs/NUMERICS.md section 10).
 */
#ifndef TG_QUOTIENT_H_INCLUDED
#define TG_QUOTIENT_H_INCLUDED

#include "tg_divide.h"
#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

/** `q` with the sign of a / b; where b is 0: 0 if a is, else `beyond` with the sign of a. */
static inline int32_t tg_quotient_sign(int32_t a, int32_t b, int32_t q, int32_t beyond)
{
    const int32_t size = (b != 0) ? q : ((a != 0) ? beyond : 0);
    return ((a < 0) != (b < 0)) ? -size : size;
}

/** a / b * m / 2^shift, rounded, of int8 values less their zero points: |a| <= 255, m < 2^22, 1 <= shift <= 30. */
static inline int32_t tg_quotient_s8(int32_t a, int32_t b, uint32_t m, uint32_t shift)
{
    const uint32_t over = (uint32_t)((a < 0) ? -a : a) * m; /* below 2^30 */
    const uint32_t under = (uint32_t)((b < 0) ? -b : b);
    const uint32_t q = over / ((under != 0U) ? under : 1U);
    return tg_quotient_sign(a, b, (int32_t)((q + (1UL << (shift - 1U))) >> shift), 255);
}

/** The same of int16 values: m < 2^31, 1 <= shift <= 46; saturated at 65535. */
static inline int32_t tg_quotient_s16(int32_t a, int32_t b, uint32_t m, uint32_t shift)
{
    const uint64_t over = (uint64_t)(uint32_t)((a < 0) ? -a : a) * m; /* at most 2^46 */
    const uint32_t under = (uint32_t)((b < 0) ? -b : b);
    const uint64_t q = (tg_divide(over, (under != 0U) ? under : 1U) + ((uint64_t)1 << (shift - 1U))) >> shift;
    return tg_quotient_sign(a, b, (q < 65535U) ? (int32_t)q : 65535, 65535);
}

#ifdef __cplusplus
}
#endif

#endif /* TG_QUOTIENT_H_INCLUDED */
