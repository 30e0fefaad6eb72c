/**
 * @file  tg_sum_mve.h
 * @brief Sums over windows, for average pooling and reductions on cores with Helium.
 */
#ifndef TG_SUM_MVE_H_INCLUDED
#define TG_SUM_MVE_H_INCLUDED

#include "tg_isa_mve.h"
#include "tg_numerics.h"

#ifdef __cplusplus
extern "C" {
#endif

/** `rows` x `cols` >= 1 values of a channel, steps in bytes, and what becomes of their sum. */
typedef struct {
    int32_t rows;
    int32_t cols;
    int32_t x_step;
    int32_t x_row;
    int32_t start; /**< what the sum starts with */
    int32_t m;
    int32_t shift; /**< 31 - the shift of the requantisation */
    int32_t zp;
    int32_t even; /**< the divisor where halves go to even; else 0 */
} tg_sum_mve_t;   /* the assembly knows the order of the members */

/** y[c] = clamp(zp + requant(start + the sum of the channel)). */
static TG_NOINLINE void tg_sum_mve(const tg_sum_mve_t *s, const int8_t *x, int32_t channels, int8_t *y)
{
#if TG_MVE
    for (int32_t c = 0; c < channels; c += 4) {
        const int8_t *row = &x[c];
        int32_t rows = s->rows;
        int32_t t = channels - c;
        __asm__ volatile("vctp.32 %[t]\n"
                         "ldr %[t], [%[s], #16]\n" /* start */
                         "vdup.32 q2, %[t]\n"
                         "1: mov %[t], %[row]\n"
                         "dls lr, %[cols]\n"
                         "2: vpst\n"
                         "vldrbt.s32 q1, [%[t]]\n"
                         "vadd.i32 q2, q2, q1\n"
                         "add %[t], %[t], %[x_step]\n"
                         "le lr, 2b\n"
                         "ldr %[t], [%[s], #12]\n" /* x_row */
                         "add %[row], %[row], %[t]\n"
                         "subs %[rows], %[rows], #1\n"
                         "bne 1b\n"
                         "ldrd %[t], %[row], [%[s], #20]\n" /* m, shift */
                         "vqdmulh.s32 q0, q2, %[t]\n"
                         "vrshl.s32 q0, %[row]\n"
                         "ldrd %[t], %[row], [%[s], #28]\n" /* zp, even */
                         "cbz %[row], 3f\n"
                         "vmul.i32 q1, q0, %[row]\n"
                         "vsub.i32 q1, q1, q2\n"
                         "vshl.i32 q1, q1, #1\n" /* 2 * (n * q - sum) is n or -n in the middle */
                         "vmov.i32 q2, #1\n"
                         "vand q2, q2, q0\n"
                         "vmrs %[rows], p0\n"
                         "vpt.i32 eq, q1, %[row]\n"
                         "vsubt.i32 q0, q0, q2\n"
                         "rsbs %[row], %[row], #0\n"
                         "vpt.i32 eq, q1, %[row]\n"
                         "vaddt.i32 q0, q0, q2\n"
                         "vmsr p0, %[rows]\n"
                         "3:\n"
                         "vqmovnb.s32 q0, q0\n"
                         "vqadd.s16 q0, q0, %[t]\n"
                         "vqmovnb.s16 q0, q0\n"
                         "vpst\n"
                         "vstrbt.32 q0, [%[y]]\n"
                         : [row] "+l"(row), [rows] "+r"(rows), [t] "+l"(t)
                         : [s] "r"(s), [cols] "r"(s->cols), [x_step] "r"(s->x_step), [y] "l"(&y[c])
                         : "lr", "q0", "q1", "q2", "cc", "memory");
    }
#else
    for (int32_t c = 0; c < channels; ++c) {
        int32_t acc = s->start;
        for (int32_t r = 0; r < s->rows; ++r) {
            for (int32_t i = 0; i < s->cols; ++i) {
                acc += x[(r * s->x_row) + (i * s->x_step) + c];
            }
        }
        int32_t q = tg_requant_mve(acc, s->m, 31 - s->shift);
        if (s->even != 0) {
            q = tg_half_to_even(q, acc, s->even);
        }
        y[c] = tg_narrow_mve(q, s->zp);
    }
#endif
}

#ifdef __cplusplus
}
#endif

#endif /* TG_SUM_MVE_H_INCLUDED */
