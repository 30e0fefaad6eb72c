/**
 * @file  tg_avgpool_s8_dsp.h
 * @brief Average pooling, int8, for cores with the DSP extension.
 *        Same bits as tg_avgpool_s8.
 */
#ifndef TG_AVGPOOL_S8_DSP_H_INCLUDED
#define TG_AVGPOOL_S8_DSP_H_INCLUDED

#include "tg_avgpool_s8.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Arguments as of tg_avgpool_s8. Limits, checked by kernels/elementwise/variants.py: at least 8 channels; shift <= 54;
 * a sum, times 2^(33 - shift) where shift < 33, below 2^31.
 */
void tg_avgpool_s8_dsp(const tg_avgpool_s8_cfg_t *cfg, const int8_t *x, const int32_t *m, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_AVGPOOL_S8_DSP_H_INCLUDED */
