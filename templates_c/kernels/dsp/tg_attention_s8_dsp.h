/**
 * @file  tg_attention_s8_dsp.h
 * @brief Attention, int8, for cores with the DSP extension. Same bits as tg_attention_s8.
 */
#ifndef TG_ATTENTION_S8_DSP_H_INCLUDED
#define TG_ATTENTION_S8_DSP_H_INCLUDED

#include "tg_attention_s8.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * As tg_attention_s8, with 33 <= out_shift <= 54; where shift is below 33, it is 19 at the least, and sums of products
 * can go up by what it lacks: |sum| * 2^(33 - shift) < 2^31.
 * scratch, in words: keys as halves, ceil(d / 2) * ceil4(keys); values as pairs of keys, ceil4(keys) / 2 * ceil4(dv);
 * two queries, 2 * ceil(d / 2); scores of both, ceil4(keys).
 */
void tg_attention_s8_dsp(const tg_attention_s8_cfg_t *cfg, const int8_t *q, const int8_t *k, const int8_t *v,
                         const int16_t *exp, const int16_t *bias, void *scratch, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_ATTENTION_S8_DSP_H_INCLUDED */
