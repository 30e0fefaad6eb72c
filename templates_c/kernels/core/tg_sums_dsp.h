/**
 * @file  tg_sums_dsp.h
 * @brief Sums over columns of int8, eight at a time in halves of four words, and from them to outputs.
 */
#ifndef TG_SUMS_DSP_H_INCLUDED
#define TG_SUMS_DSP_H_INCLUDED

#include "tg_epilogue_dsp.h"

#ifdef __cplusplus
extern "C" {
#endif

/** So many int8 always fit a half: 256 * -128 = -2^15. */
#define TG_SUMS_ROWS 256

/** Halves of columns (0, 2), (1, 3), (4, 6), (5, 7). */
typedef struct {
    uint32_t v[4];
} tg_sums_t;

/** What all outputs of a layer share. */
typedef struct {
    tg_output_dsp_t out;
    int32_t scale; /**< power of two for the sums: brings a shift below 33 to 33 */
    int32_t zp;
} tg_mean_t;

static TG_INLINE tg_mean_t tg_mean(uint32_t shift, int32_t out_zp)
{
    const uint32_t up = (shift < 33U) ? (33U - shift) : 0U;
    const tg_mean_t k = {tg_output_dsp(shift + up, out_zp, -128, 127), (int32_t)(1UL << up), out_zp};
    return k;
}

/** Adds n rows of eight bytes, `step` bytes apart. */
static TG_NOINLINE void tg_sum_rows(tg_sums_t *s, const int8_t *x, int32_t step, int32_t n)
{
    uint32_t s0 = s->v[0];
    uint32_t s1 = s->v[1];
    uint32_t s2 = s->v[2];
    uint32_t s3 = s->v[3];
    if ((n & 1) != 0) {
        const uint32_t a = tg_load32(x);
        const uint32_t b = tg_load32(&x[4]);
        s0 = tg_sxtab16(s0, a);
        s1 = tg_sxtab16_ror8(s1, a);
        s2 = tg_sxtab16(s2, b);
        s3 = tg_sxtab16_ror8(s3, b);
        x += step;
    }
    int32_t pairs = n / 2;
#if TG_DSP_ASM
    if (pairs > 0) {
        uint32_t a;
        uint32_t b;
        uint32_t c;
        uint32_t d;
        __asm__ volatile("1:\n\t" /* loads in groups, which compilers do not make */
                         "ldr %[a], [%[x]]\n\t"
                         "ldr %[b], [%[x], #4]\n\t"
                         "add %[x], %[x], %[step]\n\t"
                         "ldr %[c], [%[x]]\n\t"
                         "ldr %[d], [%[x], #4]\n\t"
                         "add %[x], %[x], %[step]\n\t"
                         "sxtab16 %[s0], %[s0], %[a]\n\t"
                         "sxtab16 %[s1], %[s1], %[a], ror #8\n\t"
                         "sxtab16 %[s2], %[s2], %[b]\n\t"
                         "sxtab16 %[s3], %[s3], %[b], ror #8\n\t"
                         "sxtab16 %[s0], %[s0], %[c]\n\t"
                         "sxtab16 %[s1], %[s1], %[c], ror #8\n\t"
                         "sxtab16 %[s2], %[s2], %[d]\n\t"
                         "sxtab16 %[s3], %[s3], %[d], ror #8\n\t"
                         "subs %[pairs], %[pairs], #1\n\t"
                         "bne 1b"
                         : [s0] "+r"(s0), [s1] "+r"(s1), [s2] "+r"(s2), [s3] "+r"(s3), [x] "+r"(x), [pairs] "+r"(pairs),
                           [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [d] "=&r"(d)
                         : [step] "r"(step)
                         : "cc", "memory");
    }
#else
    for (; pairs > 0; --pairs) {
        for (int32_t i = 0; i < 2; ++i) {
            s0 = tg_sxtab16(s0, tg_load32(x));
            s1 = tg_sxtab16_ror8(s1, tg_load32(x));
            s2 = tg_sxtab16(s2, tg_load32(&x[4]));
            s3 = tg_sxtab16_ror8(s3, tg_load32(&x[4]));
            x += step;
        }
    }
#endif
    s->v[0] = s0;
    s->v[1] = s1;
    s->v[2] = s2;
    s->v[3] = s3;
}

/**
 * The same for rows of fewer than eight bytes, `columns`, of which eight would leave the input: `room` bytes of it
 * begin at x. Sums behind the columns are anything.
 */
static TG_NOINLINE void tg_sum_few(tg_sums_t *s, const int8_t *x, int32_t step, int32_t n, int32_t columns,
                                   int32_t room)
{
    int32_t whole = n;
    while ((whole > 0) && ((((whole - 1) * step) + 8) > room)) {
        --whole;
    }
    tg_sum_rows(s, x, step, whole);
    x += whole * step;
    n -= whole;
    for (; n > 0; --n) {
        int8_t row[8] = {0};
        if (columns > 4) {
            tg_store32(row, tg_load32(x));
            tg_store32(&row[columns - 4], tg_load32(&x[columns - 4])); /* both words overlap */
        } else {
            for (int32_t c = 0; c < columns; ++c) {
                row[c] = x[c];
            }
        }
        tg_sum_rows(s, row, 0, 1);
        x += step;
    }
}

/** Adds the halves to the eight sums and clears them. */
static TG_NOINLINE void tg_sums_flush(tg_sums_t *s, int32_t acc[8])
{
    for (int32_t i = 0; i < 4; ++i) {
        const uint32_t v = s->v[i];
        int32_t *const to = &acc[(4 * (i / 2)) + (i % 2)];
        to[0] += (int16_t)(uint16_t)(v & 0xFFFFU);
        to[2] += (int16_t)(uint16_t)(v >> 16);
        s->v[i] = 0U;
    }
}

/** `count` outputs, eight or fewer. */
static TG_NOINLINE void tg_means(const tg_mean_t *k, const int32_t acc[8], int32_t m, int8_t *y, int32_t count)
{
    const tg_output_dsp_t out = k->out; /* read before the first store, which might alias it */
    const int32_t scale = k->scale;
    const int8_t *const end = &y[count];
    while (y != end) {
        *y = tg_requant_dsp(&out, *acc * scale, m);
        ++y;
        ++acc;
    }
}

/** `count` means of n values in their own scale: halves to even. */
static TG_NOINLINE void tg_means_even(const tg_mean_t *k, const int32_t acc[8], int32_t m, int32_t n, int8_t *y,
                                      int32_t count)
{
    const tg_output_dsp_t out = k->out;
    const int32_t scale = k->scale;
    const int32_t zp = k->zp;
    const int32_t zero = n * zp;
    for (int32_t i = 0; i < count; ++i) {
        const int32_t q = tg_smmla(acc[i] * scale, m, out.offset) >> out.shift; /* with the zero point */
        const int32_t odd = (q ^ zp) & 1;
        const int32_t rest = 2 * (acc[i] + zero - (n * q));
        y[i] = (int8_t)tg_ssat8(q + ((rest == n) ? odd : 0) - ((rest == -n) ? odd : 0));
    }
}

#ifdef __cplusplus
}
#endif

#endif /* TG_SUMS_DSP_H_INCLUDED */
