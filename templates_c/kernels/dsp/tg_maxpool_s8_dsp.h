/**
 * @file  tg_maxpool_s8_dsp.h
 * @brief Max pooling, int8, for cores with the DSP extension. Same bits as tg_maxpool_s8.
 */
#ifndef TG_MAXPOOL_S8_DSP_H_INCLUDED
#define TG_MAXPOOL_S8_DSP_H_INCLUDED

#include "tg_maxpool_s8.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Four channels at a time, tap by tap into y. Limit: at least 4 channels. Arguments as of tg_maxpool_s8.
 */
void tg_maxpool_s8_dsp(const tg_maxpool_s8_cfg_t *cfg, const int8_t *x, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_MAXPOOL_S8_DSP_H_INCLUDED */
