/**
 * @file  tg_isa_dsp.h
 * @brief Instructions of the DSP extension (Cortex-M4, M7, M33, M55), each with a portable body of the same bits.
 *
 * The portable bodies let the DSP kernels run on a laptop under sanitizers. Assembly and not <arm_acle.h>: GCC 7 lacks
 * those intrinsics. It is not volatile, so the compiler may move and drop it like any arithmetic. Sums wrap, as the
 * instructions do.
 */
#ifndef TG_ISA_DSP_H_INCLUDED
#define TG_ISA_DSP_H_INCLUDED

#include <string.h>

#include "tg_platform.h"

#if TG_BIG_ENDIAN
#error "DSP kernels read bytes as words of a little-endian core; build the model with --board native for this one"
#endif

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__ARM_FEATURE_DSP) && defined(__GNUC__) && defined(__thumb2__)
#define TG_DSP_ASM 1
#else
#define TG_DSP_ASM 0
#endif

/** Whole functions in assembly, which park scalars in s0..s15 (VMOV takes one cycle). */
#if TG_DSP_ASM && defined(__ARM_FP)
#define TG_DSP_NAKED 1
#else
#define TG_DSP_NAKED 0
#endif

/** Keeps the compiler from moving loads up across it: early loads of an unrolled loop only become spills. */
#if TG_DSP_ASM
#define TG_STAY() __asm__ volatile("" ::: "memory")
#else
#define TG_STAY() ((void)0)
#endif

/** One word from any address: a single LDR, which these cores do at any alignment. */
static TG_INLINE uint32_t tg_load32(const void *p)
{
    uint32_t v;
    (void)memcpy(&v, p, sizeof v);
    return v;
}

/** Two bytes, the first lowest. */
static TG_INLINE uint32_t tg_load16(const void *p)
{
    uint16_t v;
    (void)memcpy(&v, p, sizeof v);
    return v;
}

/** The start of the word that a byte lies in. */
static TG_INLINE const int32_t *tg_word_of(const uint8_t *p)
{
    return (const int32_t *)(const void *)(p - ((uintptr_t)p & 3U));
}

static TG_INLINE void tg_store32(void *p, uint32_t v)
{
    (void)memcpy(p, &v, sizeof v);
}

static TG_INLINE int32_t tg_low16(uint32_t v)
{
    return (int16_t)(uint16_t)(v & 0xFFFFU);
}

static TG_INLINE int32_t tg_high16(uint32_t v)
{
    return (int16_t)(uint16_t)(v >> 16);
}

/** a + b modulo 2^32. */
static TG_INLINE int32_t tg_add_wrap(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a + (uint32_t)b);
}

/** a - b modulo 2^32. */
static TG_INLINE int32_t tg_sub_wrap(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a - (uint32_t)b);
}

/** v over 2^n, towards minus infinity; n from 0 to 31. */
static TG_INLINE int32_t tg_asr(int32_t v, int32_t n)
{
    return v >> n;
}

/** acc + low(v), signed. */
static TG_INLINE int32_t tg_sxtah(int32_t acc, uint32_t v)
{
    return tg_add_wrap(acc, (int16_t)(uint16_t)(v & 0xFFFFU));
}

/** acc + low(a) * low(b) + high(a) * high(b), halves signed. */
static TG_INLINE int32_t tg_smlad(uint32_t a, uint32_t b, int32_t acc)
{
#if TG_DSP_ASM
    int32_t r;
    __asm__("smlad %0, %1, %2, %3" : "=r"(r) : "r"(a), "r"(b), "r"(acc));
    return r;
#else
    return tg_add_wrap(tg_add_wrap(acc, tg_low16(a) * tg_low16(b)), tg_high16(a) * tg_high16(b));
#endif
}

/** acc + low(a) * high(b) + high(a) * low(b), halves signed. */
static TG_INLINE int32_t tg_smladx(uint32_t a, uint32_t b, int32_t acc)
{
#if TG_DSP_ASM
    int32_t r;
    __asm__("smladx %0, %1, %2, %3" : "=r"(r) : "r"(a), "r"(b), "r"(acc));
    return r;
#else
    return tg_add_wrap(tg_add_wrap(acc, tg_low16(a) * tg_high16(b)), tg_high16(a) * tg_low16(b));
#endif
}

/** tg_smlad() in 64 bits. */
static TG_INLINE int64_t tg_smlald(uint32_t a, uint32_t b, int64_t acc)
{
#if TG_DSP_ASM
    __asm__("smlald %Q0, %R0, %1, %2" : "+r"(acc) : "r"(a), "r"(b));
    return acc;
#else
    return acc + (tg_low16(a) * tg_low16(b)) + (tg_high16(a) * tg_high16(b));
#endif
}

/** acc + low(a) * low(b). */
static TG_INLINE int32_t tg_smlabb(uint32_t a, uint32_t b, int32_t acc)
{
#if TG_DSP_ASM
    int32_t r;
    __asm__("smlabb %0, %1, %2, %3" : "=r"(r) : "r"(a), "r"(b), "r"(acc));
    return r;
#else
    return tg_add_wrap(acc, tg_low16(a) * tg_low16(b));
#endif
}

/** acc + high(a) * high(b). */
static TG_INLINE int32_t tg_smlatt(uint32_t a, uint32_t b, int32_t acc)
{
#if TG_DSP_ASM
    int32_t r;
    __asm__("smlatt %0, %1, %2, %3" : "=r"(r) : "r"(a), "r"(b), "r"(acc));
    return r;
#else
    return tg_add_wrap(acc, tg_high16(a) * tg_high16(b));
#endif
}

/** acc + low(a) * high(b). */
static TG_INLINE int32_t tg_smlabt(uint32_t a, uint32_t b, int32_t acc)
{
#if TG_DSP_ASM
    int32_t r;
    __asm__("smlabt %0, %1, %2, %3" : "=r"(r) : "r"(a), "r"(b), "r"(acc));
    return r;
#else
    return tg_add_wrap(acc, tg_low16(a) * tg_high16(b));
#endif
}

/** acc + high(a) * low(b). */
static TG_INLINE int32_t tg_smlatb(uint32_t a, uint32_t b, int32_t acc)
{
    return tg_smlabt(b, a, acc);
}

/** Bytes 0 and 2, each extended to a signed half. */
static TG_INLINE uint32_t tg_sxtb16(uint32_t v)
{
#if TG_DSP_ASM
    uint32_t r;
    __asm__("sxtb16 %0, %1" : "=r"(r) : "r"(v));
    return r;
#else
    /* the sign bit of each byte, times 0x1FE, is the upper byte of its half and nothing else */
    return (v & 0x00FF00FFU) | (((v & 0x00800080U) * 0x1FEU) & 0xFF00FF00U);
#endif
}

/** Bytes 1 and 3, each extended to a signed half. */
static TG_INLINE uint32_t tg_sxtb16_ror8(uint32_t v)
{
#if TG_DSP_ASM
    uint32_t r;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(r) : "r"(v));
    return r;
#else
    return tg_sxtb16((v >> 8) | (v << 24));
#endif
}

/** `width` bits of v from bit `low` on, signed: SBFX. */
static TG_INLINE uint32_t tg_sbfx(uint32_t v, uint32_t low, uint32_t width)
{
    return (uint32_t)((int32_t)(v << (32U - low - width)) >> (32U - width));
}

/** Halves of acc, each plus byte 0 or 2 of v, signed. */
static TG_INLINE uint32_t tg_sxtab16(uint32_t acc, uint32_t v)
{
#if TG_DSP_ASM
    uint32_t r;
    __asm__("sxtab16 %0, %1, %2" : "=r"(r) : "r"(acc), "r"(v));
    return r;
#else
    const uint32_t e = tg_sxtb16(v);
    return ((acc + e) & 0xFFFFU) | ((acc & 0xFFFF0000U) + (e & 0xFFFF0000U));
#endif
}

/** Halves of acc, each plus byte 1 or 3 of v, signed. */
static TG_INLINE uint32_t tg_sxtab16_ror8(uint32_t acc, uint32_t v)
{
#if TG_DSP_ASM
    uint32_t r;
    __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(r) : "r"(acc), "r"(v));
    return r;
#else
    return tg_sxtab16(acc, (v >> 8) | (v << 24));
#endif
}

/** Halves of a less those of b. */
static TG_INLINE uint32_t tg_ssub16(uint32_t a, uint32_t b)
{
#if TG_DSP_ASM
    uint32_t r;
    __asm__("ssub16 %0, %1, %2" : "=r"(r) : "r"(a), "r"(b) : "cc");
    return r;
#else
    return ((a - b) & 0xFFFFU) | ((a & 0xFFFF0000U) - (b & 0xFFFF0000U));
#endif
}

/** Halves of a plus those of b, unsigned, at most 65535. */
static TG_INLINE uint32_t tg_uqadd16(uint32_t a, uint32_t b)
{
#if TG_DSP_ASM
    uint32_t r;
    __asm__("uqadd16 %0, %1, %2" : "=r"(r) : "r"(a), "r"(b));
    return r;
#else
    const uint32_t low = (a & 0xFFFFU) + (b & 0xFFFFU);
    const uint32_t high = (a >> 16) + (b >> 16);
    return ((low < 0xFFFFU) ? low : 0xFFFFU) | (((high < 0xFFFFU) ? high : 0xFFFFU) << 16);
#endif
}

/** The greater of each pair of bytes, signed. */
static TG_INLINE uint32_t tg_max8(uint32_t a, uint32_t b)
{
#if TG_DSP_ASM
    uint32_t r;
    __asm__("ssub8 %0, %1, %2\n\tsel %0, %1, %2" : "=&r"(r) : "r"(a), "r"(b) : "cc");
    return r;
#else
    uint32_t r = 0U;
    for (uint32_t i = 0U; i < 32U; i += 8U) {
        const uint32_t p = (a >> i) & 0xFFU;
        const uint32_t q = (b >> i) & 0xFFU;
        r |= (((p ^ 0x80U) > (q ^ 0x80U)) ? p : q) << i;
    }
    return r;
#endif
}

/** The greater of each pair of halves, signed. */
static TG_INLINE uint32_t tg_max16(uint32_t a, uint32_t b)
{
#if TG_DSP_ASM
    uint32_t r;
    __asm__("ssub16 %0, %1, %2\n\tsel %0, %1, %2" : "=&r"(r) : "r"(a), "r"(b) : "cc");
    return r;
#else
    const uint32_t low = ((tg_low16(a) > tg_low16(b)) ? a : b) & 0xFFFFU;
    return low | (((tg_high16(a) > tg_high16(b)) ? a : b) & 0xFFFF0000U);
#endif
}

/** The greater half. */
static TG_INLINE int32_t tg_greater16(uint32_t v)
{
    const int32_t low = (int16_t)(uint16_t)(v & 0xFFFFU);
    const int32_t high = (int32_t)v >> 16;
    return (low > high) ? low : high;
}

/** Leading zeros, v not 0. */
static TG_INLINE uint32_t tg_clz(uint32_t v)
{
#if TG_DSP_ASM
    uint32_t r;
    __asm__("clz %0, %1" : "=r"(r) : "r"(v));
    return r;
#else
    uint32_t zeros = 0U;
    while ((v >> (31U - zeros)) == 0U) {
        ++zeros;
    }
    return zeros;
#endif
}

/** low(a) below, low(b) above. */
static TG_INLINE uint32_t tg_pkhbt(uint32_t a, uint32_t b)
{
#if TG_DSP_ASM
    uint32_t r;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(r) : "r"(a), "r"(b));
    return r;
#else
    return (a & 0xFFFFU) | (b << 16);
#endif
}

/** high(a) below, high(b) above. */
static TG_INLINE uint32_t tg_pkhtb(uint32_t a, uint32_t b)
{
#if TG_DSP_ASM
    uint32_t r;
    __asm__("pkhtb %0, %1, %2, asr #16" : "=r"(r) : "r"(b), "r"(a));
    return r;
#else
    return (a >> 16) | (b & 0xFFFF0000U);
#endif
}

/** acc + bits 63..32 of a * b. */
static TG_INLINE int32_t tg_smmla(int32_t a, int32_t b, int32_t acc)
{
#if TG_DSP_ASM
    int32_t r;
    __asm__("smmla %0, %1, %2, %3" : "=r"(r) : "r"(a), "r"(b), "r"(acc));
    return r;
#else
    return tg_add_wrap(acc, (int32_t)(((int64_t)a * b) >> 32));
#endif
}

/** acc + bits 63..32 of a * b, rounded by the bit below. */
static TG_INLINE int32_t tg_smmlar(int32_t a, int32_t b, int32_t acc)
{
#if TG_DSP_ASM
    int32_t r;
    __asm__("smmlar %0, %1, %2, %3" : "=r"(r) : "r"(a), "r"(b), "r"(acc));
    return r;
#else
    return tg_add_wrap(acc, (int32_t)((((int64_t)a * b) + ((int64_t)1 << 31)) >> 32));
#endif
}

/** Bits 63..32 of a * b. */
static TG_INLINE int32_t tg_smmul(int32_t a, int32_t b)
{
#if TG_DSP_ASM
    int32_t r;
    __asm__("smmul %0, %1, %2" : "=r"(r) : "r"(a), "r"(b));
    return r;
#else
    return (int32_t)(((int64_t)a * b) >> 32);
#endif
}

/** The odd channel of raw pairs: raw = 256 * odd + even, wrapped; exact while |odd| < 2^23. */
static TG_INLINE int32_t tg_odd_sum(int32_t raw, int32_t even)
{
    return (int32_t)((uint32_t)raw - (uint32_t)even) >> 8;
}

/** Clamp to -32768..32767. */
static TG_INLINE int32_t tg_ssat16(int32_t v)
{
#if TG_DSP_ASM
    int32_t r;
    __asm__("ssat %0, #16, %1" : "=r"(r) : "r"(v));
    return r;
#else
    return (v < -32768) ? -32768 : ((v > 32767) ? 32767 : v);
#endif
}

/** a * b >> 16, b an int16. */
static TG_INLINE int32_t tg_smulw(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b) >> 16);
}

/** Clamp to -8388608..8388607. */
static TG_INLINE int32_t tg_ssat24(int32_t v)
{
    return (v < -8388608) ? -8388608 : ((v > 8388607) ? 8388607 : v);
}

/** Clamp to 0..32767. */
static TG_INLINE int32_t tg_usat15(int32_t v)
{
#if TG_DSP_ASM
    int32_t r;
    __asm__("usat %0, #15, %1" : "=r"(r) : "r"(v));
    return r;
#else
    return (v < 0) ? 0 : ((v > 32767) ? 32767 : v);
#endif
}

/** Clamp to -128..127. */
static TG_INLINE int32_t tg_ssat8(int32_t v)
{
#if TG_DSP_ASM
    int32_t r;
    __asm__("ssat %0, #8, %1" : "=r"(r) : "r"(v));
    return r;
#else
    return (v < -128) ? -128 : ((v > 127) ? 127 : v);
#endif
}

/** Both halves, signed, each clamped to -128..127. */
static TG_INLINE uint32_t tg_ssat16x8(uint32_t v)
{
#if TG_DSP_ASM
    uint32_t r;
    __asm__("ssat16 %0, #8, %1" : "=r"(r) : "r"(v));
    return r;
#else
    return ((uint32_t)tg_ssat8(tg_low16(v)) & 0xFFFFU) | ((uint32_t)tg_ssat8(tg_high16(v)) << 16);
#endif
}

#ifdef __cplusplus
}
#endif

#endif /* TG_ISA_DSP_H_INCLUDED */
