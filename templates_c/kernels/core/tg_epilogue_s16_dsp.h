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

/** How outputs are clamped and stored. */
enum {
    TG_BYTES,           /**< int8 */
    TG_HALVES,          /**< int16 */
    TG_POSITIVE_HALVES, /**< int16, not below 0: a rectifier costs nothing */
};

/** What all outputs of a layer share. */
typedef struct {
    int32_t offset; /**< rounding and zero point, in units of the high word of the product */
    uint32_t shift;
    int32_t kind;    /**< TG_BYTES, ... */
    int32_t limited; /**< not 0: lo or hi is inside what the kind allows */
    int32_t lo;
    int32_t hi;
} tg_output16_dsp_t;

/** 33 <= shift <= 54 (the generator checks it): then |high word + offset| < 2^30 + 2^29 + 2^21 does not wrap. */
static TG_INLINE tg_output16_dsp_t tg_output16_dsp(uint32_t shift, int32_t zp, int32_t lo, int32_t hi, uint32_t wide)
{
    const int32_t one = (int32_t)(1UL << (shift - 32U));
    const int32_t least = (wide == 0U) ? -128 : ((lo == 0) ? 0 : -32768);
    const int32_t most = (wide == 0U) ? 127 : 32767;
    const tg_output16_dsp_t o = {(one >> 1) + (zp * one),
                                 shift - 32U,
                                 (wide == 0U) ? TG_BYTES : ((lo == 0) ? TG_POSITIVE_HALVES : TG_HALVES),
                                 ((lo > least) || (hi < most)) ? 1 : 0,
                                 lo,
                                 hi};
    return o;
}

/** Output i: clamp(zp + requant(acc, m)) in the range of its kind. */
static TG_INLINE void tg_put_s16_dsp(const tg_output16_dsp_t *o, int32_t acc, int32_t m, void *y, int32_t i)
{
    const int32_t v = tg_smmla(acc, m, o->offset) >> o->shift;
    if (o->kind == TG_BYTES) {
        ((int8_t *)y)[i] = (int8_t)tg_ssat8(v);
    } else {
        ((int16_t *)y)[i] = (int16_t)((o->kind == TG_HALVES) ? tg_ssat16(v) : tg_usat15(v));
    }
}

/** Output i of y. */
static TG_INLINE void *tg_at_s16_dsp(const tg_output16_dsp_t *o, void *y, int32_t i)
{
    return (o->kind != TG_BYTES) ? (void *)&((int16_t *)y)[i] : (void *)&((int8_t *)y)[i];
}

/** Clamps n outputs, from `at` on, to the layer's own bounds. */
static TG_NOINLINE void tg_limit_s16_dsp(const tg_output16_dsp_t *o, void *y, int32_t at, int32_t n)
{
    const int32_t lo = o->lo;
    const int32_t hi = o->hi;
    const int32_t kind = o->kind;
    for (int32_t i = at; i < (at + n); ++i) {
        if (kind != TG_BYTES) {
            int16_t *const p = &((int16_t *)y)[i];
            *p = (int16_t)((*p < lo) ? lo : ((*p > hi) ? hi : *p));
        } else {
            int8_t *const p = &((int8_t *)y)[i];
            *p = (int8_t)((*p < lo) ? lo : ((*p > hi) ? hi : *p));
        }
    }
}

#ifdef __cplusplus
}
#endif

#endif /* TG_EPILOGUE_S16_DSP_H_INCLUDED */
