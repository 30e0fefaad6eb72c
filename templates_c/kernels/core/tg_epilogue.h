/**
 * @file  tg_epilogue.h
 * @brief From accumulators to outputs, for the kernels that make several channels at a time.
 */
#ifndef TG_EPILOGUE_H_INCLUDED
#define TG_EPILOGUE_H_INCLUDED

#include "tg_numerics.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What all outputs of a layer share. */
typedef struct {
    uint32_t shift;
    int32_t zp;
    int32_t lo;
    int32_t hi;
} tg_output_t;

/** acc = the biases of `count` (1 or 4) channels; written out, because a loop becomes a call of memcpy. */
static inline void tg_start(int32_t acc[4], const int32_t *b, int32_t count)
{
    acc[0] = b[0];
    if (count == 4) {
        acc[1] = b[1];
        acc[2] = b[2];
        acc[3] = b[3];
    }
}

/** y[i] = clamp(zp + requant(acc[i], m[i])), i < n. */
static TG_NOINLINE void tg_epilogue(const tg_output_t *out, const int32_t *acc, const int32_t *m, int32_t n, int8_t *y)
{
    const int32_t lo = out->lo;
    const int32_t hi = out->hi;
    if (out->shift > 32U) {
        /* the fast path of tg_requant, with everything that does not change moved out of the loop */
        const uint32_t shift = out->shift - 32U;
        const int32_t rounding = (int32_t)((1UL << shift) >> 1);
        for (int32_t i = 0; i < n; ++i) {
            y[i] = (int8_t)tg_clamp(out->zp + ((tg_mul_high(acc[i], m[i]) + rounding) >> shift), lo, hi);
        }
    } else {
        for (int32_t i = 0; i < n; ++i) {
            y[i] = tg_requant_clamp(acc[i], m[i], out->shift, out->zp, lo, hi);
        }
    }
}

#ifdef __cplusplus
}
#endif

#endif /* TG_EPILOGUE_H_INCLUDED */
