/**
 * @file  tg_softmax_s16_dsp.h
 * @brief Softmax over the last axis, int16, for cores with the DSP extension. Same bits as tg_softmax_s16.
 */
#ifndef TG_SOFTMAX_S16_DSP_H_INCLUDED
#define TG_SOFTMAX_S16_DSP_H_INCLUDED

#include "tg_softmax_s16.h"

#ifdef __cplusplus
extern "C" {
#endif

/** As tg_softmax_s16, with wide 1, exp_m < 2^16, exp_shift <= 16, and (65535 * exp_m) >> exp_shift below 2^24. */
void tg_softmax_s16_dsp(const tg_softmax_s16_cfg_t *cfg, const int16_t *x, void *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_SOFTMAX_S16_DSP_H_INCLUDED */
