/**
 * @file  tg_norm_s8_dsp.h
 * @brief Normalisation of int8 by factors for each column, for cores with the DSP extension. Same bits as tg_norm_s8.
 */
#ifndef TG_NORM_S8_DSP_H_INCLUDED
#define TG_NORM_S8_DSP_H_INCLUDED

#include "tg_norm_s8.h"

#ifdef __cplusplus
extern "C" {
#endif

/** As tg_norm_s8, with w_step 1, lo -128 and hi 127. */
void tg_norm_s8_dsp(const tg_norm_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_NORM_S8_DSP_H_INCLUDED */
