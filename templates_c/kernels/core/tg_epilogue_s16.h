/**
 * @file  tg_epilogue_s16.h
 * @brief From accumulators to outputs of either width, for the kernels that read int16.
 */
#ifndef TG_EPILOGUE_S16_H_INCLUDED
#define TG_EPILOGUE_S16_H_INCLUDED

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
    uint32_t wide; /**< 1: outputs are int16, 0: int8 */
} tg_output16_t;

/** Output i of those at y. */
static inline void *tg_output_at(const tg_output16_t *out, void *y, int32_t i)
{
    return (out->wide != 0U) ? (void *)&((int16_t *)y)[i] : (void *)&((int8_t *)y)[i];
}

/** y[i] = clamp(zp + requant(acc[i], m[i])), i < n. */
static TG_NOINLINE void tg_epilogue_s16(const tg_output16_t *out, const int32_t *acc, const int32_t *m, int32_t n,
                                        void *y)
{
    const tg_output16_t o = *out; /* a copy: y may alias anything as far as the compiler knows */
    for (int32_t i = 0; i < n; ++i) {
        const int32_t v = tg_clamp(o.zp + tg_requant(acc[i], m[i], o.shift), o.lo, o.hi);
        if (o.wide != 0U) {
            ((int16_t *)y)[i] = (int16_t)v;
        } else {
            ((int8_t *)y)[i] = (int8_t)v;
        }
    }
}

#ifdef __cplusplus
}
#endif

#endif /* TG_EPILOGUE_S16_H_INCLUDED */
