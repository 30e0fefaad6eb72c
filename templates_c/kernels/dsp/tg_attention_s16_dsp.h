/**
 * @file  tg_attention_s16_dsp.h
 * @brief Attention, int16, for cores with the DSP extension. Same bits as tg_attention_s16.
 */
#ifndef TG_ATTENTION_S16_DSP_H_INCLUDED
#define TG_ATTENTION_S16_DSP_H_INCLUDED

#include "tg_attention_s16.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * As tg_attention_s16. scratch: a sum of 4 bytes for each key or channel of values, whichever are more, an even number;
 * exponentials of 2 bytes, two more than ceil2(keys); values channel by channel, of 2 bytes, dv * ceil2(keys).
 */
void tg_attention_s16_dsp(const tg_attention_s16_cfg_t *cfg, const int16_t *q, const int16_t *k, const int16_t *v,
                          const int16_t *exp, const int16_t *bias, void *scratch, void *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_ATTENTION_S16_DSP_H_INCLUDED */
