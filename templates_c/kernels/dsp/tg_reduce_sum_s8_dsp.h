/**
 * @file  tg_reduce_sum_s8_dsp.h
 * @brief Sum or mean over the middle axis, int8, for cores with the DSP extension.
 *        Same bits as tg_reduce_sum_s8.
 */
#ifndef TG_REDUCE_SUM_S8_DSP_H_INCLUDED
#define TG_REDUCE_SUM_S8_DSP_H_INCLUDED

#include "tg_reduce_sum_s8.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Arguments as of tg_reduce_sum_s8. Limits, checked by kernels/elementwise/variants.py: inner >= 8; shift <= 54; a sum,
 * times 2^(33 - shift) where shift < 33, below 2^31.
 */
void tg_reduce_sum_s8_dsp(const tg_reduce_sum_s8_cfg_t *cfg, const int8_t *x, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_REDUCE_SUM_S8_DSP_H_INCLUDED */
