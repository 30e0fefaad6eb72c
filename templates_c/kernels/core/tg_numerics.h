/**
 * @file  tg_numerics.h
 * @brief The rounding rule of docs/NUMERICS.md section 1. Twin of tinygen/numerics.py.
 */
#ifndef TG_NUMERICS_H_INCLUDED
#define TG_NUMERICS_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Bits 63..32 of a * b, on cores that multiply 32 x 32 to 64 bits. */
static inline int32_t tg_mul_high_wide(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b) >> 32);
}

/** The same bits from four 16 x 16 products, for cores with only MULS (Cortex-M0: no call of __aeabi_lmul). */
static inline int32_t tg_mul_high_narrow(int32_t a, int32_t b)
{
    const int32_t a_high = a >> 16;
    const int32_t b_high = b >> 16;
    const uint32_t a_low = (uint32_t)a & 0xFFFFU;
    const uint32_t b_low = (uint32_t)b & 0xFFFFU;
    /* |high * low| <= 2^15 * (2^16 - 1), so adding another 16-bit half still fits int32 */
    const int32_t t = (a_high * (int32_t)b_low) + (int32_t)((a_low * b_low) >> 16);
    const int32_t u = ((int32_t)a_low * b_high) + (int32_t)((uint32_t)t & 0xFFFFU);
    return (a_high * b_high) + (t >> 16) + (u >> 16);
}

static inline int32_t tg_mul_high(int32_t a, int32_t b)
{
#if TG_SMALL_CORE
    return tg_mul_high_narrow(a, b);
#else
    return tg_mul_high_wide(a, b);
#endif
}

static inline int32_t tg_clamp(int32_t v, int32_t lo, int32_t hi)
{
    int32_t r = (v < lo) ? lo : v;
    if (r > hi) {
        r = hi;
    }
    return r;
}

/** tg_requant for any shift; a function of its own, so that the usual path carries none of its 64-bit code. */
static TG_NOINLINE int32_t tg_requant_wide(int32_t acc, int32_t m, uint32_t shift)
{
    const int64_t limit = (int64_t)1 << 30;
    int64_t v = (((int64_t)acc * m) + ((int64_t)1 << (shift - 1U))) >> shift;
    v = (v < -limit) ? -limit : v;
    v = (v > limit) ? limit : v;
    return (int32_t)v;
}

/**
 * (acc * m + 2^(shift-1)) >> shift, 1 <= shift <= 62, exact within [-2^30, 2^30]. Beyond (possible only for
 * shift <= 32) it saturates there, so a zero point can be added before the clamp to int8 without overflow.
 */
static inline int32_t tg_requant(int32_t acc, int32_t m, uint32_t shift)
{
    int32_t r;
    if (shift > 32U) {
        /* the low word cannot carry into the result: its weight is below the rounding bit */
        r = (tg_mul_high(acc, m) + (int32_t)(1UL << (shift - 33U))) >> (shift - 32U);
    } else {
        r = tg_requant_wide(acc, m, shift);
    }
    return r;
}

/** The whole epilogue of a layer: requantise, add the zero point, clamp. */
static inline int8_t tg_requant_clamp(int32_t acc, int32_t m, uint32_t shift, int32_t zp, int32_t lo, int32_t hi)
{
    return (int8_t)tg_clamp(zp + tg_requant(acc, m, shift), lo, hi);
}

/**
 * q = acc / n to the nearest, n > 0, halves either way (the multiplier's error decides): of halves the even neighbour.
 * For means in the scale of their values. |2 * (acc - n * q)| < 2^31.
 */
static inline int32_t tg_half_to_even(int32_t q, int32_t acc, int32_t n)
{
    const int32_t rest = 2 * (acc - (n * q));
    return q + ((q & 1) * ((rest == n) - (rest == -n)));
}

#ifdef __cplusplus
}
#endif

#endif /* TG_NUMERICS_H_INCLUDED */
