/**
 * @file  tg_epilogue_dsp.h
 * @brief From accumulators to outputs in four instructions: SMMLA, ASR, SSAT, STRB.
 */
#ifndef TG_EPILOGUE_DSP_H_INCLUDED
#define TG_EPILOGUE_DSP_H_INCLUDED

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
    int32_t narrow; /**< not 0: lo or hi is inside -128..127 */
} tg_output_dsp_t;

/** 33 <= shift <= 54 (the generator checks it): then |high word + offset| < 2^30 + 2^29 + 2^21 does not wrap. */
static TG_INLINE tg_output_dsp_t tg_output_dsp(uint32_t shift, int32_t zp, int32_t lo, int32_t hi)
{
    const int32_t one = (int32_t)(1UL << (shift - 32U));
    const tg_output_dsp_t o = {(one >> 1) + (zp * one), shift - 32U, lo, hi, ((lo > -128) || (hi < 127)) ? 1 : 0};
    return o;
}

/** clamp(zp + requant(acc, m), -128, 127). */
static TG_INLINE int8_t tg_requant_dsp(const tg_output_dsp_t *o, int32_t acc, int32_t m)
{
    return (int8_t)tg_ssat8(tg_smmla(acc, m, o->offset) >> o->shift);
}

/** Four neighbouring outputs. */
static TG_INLINE void tg_store_dsp(const tg_output_dsp_t *o, int32_t c, int32_t d, int32_t e, int32_t f,
                                   const int32_t *m, int8_t *y)
{
    const tg_output_dsp_t k = *o; /* read before the first store, which might alias it */
    const int32_t m1 = m[1];
    const int32_t m2 = m[2];
    const int32_t m3 = m[3];
    y[0] = tg_requant_dsp(&k, c, m[0]);
    y[1] = tg_requant_dsp(&k, d, m1);
    y[2] = tg_requant_dsp(&k, e, m2);
    y[3] = tg_requant_dsp(&k, f, m3);
}

/** Clamp n outputs to the layer's own bounds: rare, a rectifier ends at -128 in nearly every network. */
static TG_INLINE void tg_clamp_dsp(const tg_output_dsp_t *o, int8_t *y, int32_t n)
{
    if (o->narrow != 0) {
        for (int32_t i = 0; i < n; ++i) {
            const int32_t v = (y[i] < o->lo) ? o->lo : y[i];
            y[i] = (int8_t)((v > o->hi) ? o->hi : v);
        }
    }
}

#ifdef __cplusplus
}
#endif

#endif /* TG_EPILOGUE_DSP_H_INCLUDED */
