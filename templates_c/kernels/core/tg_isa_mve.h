/**
 * @file  tg_isa_mve.h
 * @brief Helium (Cortex-M55, M85): what its kernels share, each with a portable body of the same bits.
 *
 * Assembly and not <arm_mve.h>: GCC 12 makes four instructions of every predicate and no tail-predicated loop. Byte
 * vectors may lie at any address.
 */
#ifndef TG_ISA_MVE_H_INCLUDED
#define TG_ISA_MVE_H_INCLUDED

#include <string.h>

#include "tg_platform.h"

#if TG_BIG_ENDIAN
#error "Helium kernels read bytes as words of a little-endian core; build the model with --board native for this one"
#endif

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__ARM_FEATURE_MVE) && defined(__GNUC__)
#define TG_MVE 1
#else
#define TG_MVE 0
#endif

/** Set n >= 0 bytes to v. */
static TG_INLINE void tg_fill_mve(int8_t *to, int32_t v, int32_t n)
{
#if TG_MVE
    __asm__ volatile("vdup.8 q0, %[v]\n"
                     "wlstp.8 lr, %[n], 2f\n"
                     "1: vstrb.8 q0, [%[to]], #16\n"
                     "letp lr, 1b\n"
                     "2:\n"
                     : [to] "+r"(to)
                     : [v] "r"(v), [n] "r"(n)
                     : "lr", "q0", "memory");
#else
    (void)memset(to, v, (size_t)n);
#endif
}

/** Clamp n outputs to bounds inside -128..127: rare, a rectifier ends at -128 in nearly every network. */
static TG_INLINE void tg_clamp_mve(int8_t *y, int32_t n, int32_t lo, int32_t hi)
{
    if ((lo > -128) || (hi < 127)) {
#if TG_MVE
        __asm__ volatile("vdup.8 q1, %[lo]\n"
                         "vdup.8 q2, %[hi]\n"
                         "wlstp.8 lr, %[n], 2f\n"
                         "1: vldrb.8 q0, [%[y]]\n"
                         "vmax.s8 q0, q0, q1\n"
                         "vmin.s8 q0, q0, q2\n"
                         "vstrb.8 q0, [%[y]], #16\n"
                         "letp lr, 1b\n"
                         "2:\n"
                         : [y] "+r"(y)
                         : [n] "r"(n), [lo] "r"(lo), [hi] "r"(hi)
                         : "lr", "q0", "q1", "q2", "memory");
#else
        for (int32_t i = 0; i < n; ++i) {
            const int32_t v = (y[i] < lo) ? lo : y[i];
            y[i] = (int8_t)((v > hi) ? hi : v);
        }
#endif
    }
}

#if !TG_MVE
/** Sums wrap, as the instructions do. */
static TG_INLINE int32_t tg_add_wrap_mve(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a + (uint32_t)b);
}

/** VQDMULH and VRSHL: (acc * m + 2^(shift-1)) >> shift, 32 <= shift <= 62; |m| < 2^31, so nothing saturates. */
static TG_INLINE int32_t tg_requant_mve(int32_t acc, int32_t m, int32_t shift)
{
    const int64_t high = ((int64_t)acc * m) >> 31;
    return (int32_t)((high + ((int64_t)1 << (shift - 32))) >> (shift - 31));
}

/** Saturate to int16, add the zero point, saturate to int8: VQMOVN, VQADD, VQMOVN. */
static TG_INLINE int8_t tg_narrow_mve(int32_t v, int32_t zp)
{
    int32_t r = (v < -32768) ? -32768 : ((v > 32767) ? 32767 : v);
    r += zp;
    return (int8_t)((r < -128) ? -128 : ((r > 127) ? 127 : r));
}
#endif

#ifdef __cplusplus
}
#endif

#endif /* TG_ISA_MVE_H_INCLUDED */
