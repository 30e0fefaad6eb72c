/**
 * @file  tg_epilogue_s16_dsp.h
 * @brief From accumulators to outputs of either width: SMMLA, ASR, clamp, store.
 */
#ifndef TG_EPILOGUE_S16_DSP_H_INCLUDED
#define TG_EPILOGUE_S16_DSP_H_INCLUDED

#include "tg_isa_dsp.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What all outputs of a layer share. */
typedef struct {
    int32_t offset; /**< rounding and zero point, in units of the high word of the product */
    uint32_t shift;
    int32_t lo;
    int32_t hi;
    uint32_t wide; /**< 1: outputs are int16, 0: int8 */
} tg_output16_dsp_t;

/** 33 <= shift <= 54 (the generator checks it): then |high word + offset| < 2^30 + 2^29 + 2^21 does not wrap. */
static TG_INLINE tg_output16_dsp_t tg_output16_dsp(uint32_t shift, int32_t zp, int32_t lo, int32_t hi, uint32_t wide)
{
    const int32_t one = (int32_t)(1UL << (shift - 32U));
    const tg_output16_dsp_t o = {(one >> 1) + (zp * one), shift - 32U, lo, hi, wide};
    return o;
}

static TG_INLINE int32_t tg_requant16_dsp(const tg_output16_dsp_t *o, int32_t acc, int32_t m)
{
    const int32_t v = tg_smmla(acc, m, o->offset) >> o->shift;
    const int32_t r = (v < o->lo) ? o->lo : v;
    return (r > o->hi) ? o->hi : r;
}

/** Output i: clamp(zp + requant(acc, m)). */
static TG_INLINE void tg_put_s16_dsp(const tg_output16_dsp_t *o, int32_t acc, int32_t m, void *y, int32_t i)
{
    const int32_t v = tg_requant16_dsp(o, acc, m);
    if (o->wide != 0U) {
        ((int16_t *)y)[i] = (int16_t)v;
    } else {
        ((int8_t *)y)[i] = (int8_t)v;
    }
}

#ifdef __cplusplus
}
#endif

#endif /* TG_EPILOGUE_S16_DSP_H_INCLUDED */
