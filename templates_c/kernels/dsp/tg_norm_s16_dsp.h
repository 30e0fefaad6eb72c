/**
 * @file  tg_norm_s16_dsp.h
 * @brief Normalisation of int16 by factors for each column, for cores with the DSP extension. Same bits as tg_norm_s16.
 */
#ifndef TG_NORM_S16_DSP_H_INCLUDED
#define TG_NORM_S16_DSP_H_INCLUDED

#include "tg_norm_s16.h"

#ifdef __cplusplus
extern "C" {
#endif

/** As tg_norm_s16, with w_step 1, lo -32768 and hi 32767. */
void tg_norm_s16_dsp(const tg_norm_s16_cfg_t *cfg, const int16_t *x, const int32_t *w, int16_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_NORM_S16_DSP_H_INCLUDED */
