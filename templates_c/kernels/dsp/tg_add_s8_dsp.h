/**
 * @file  tg_add_s8_dsp.h
 * @brief Element-wise sum of two int8 tensors of one shape, for cores with the DSP extension. Same bits as tg_add_s8.
 */
#ifndef TG_ADD_S8_DSP_H_INCLUDED
#define TG_ADD_S8_DSP_H_INCLUDED

#include "tg_add_s8.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * @param a, b  [n], at any alignment
 * @param y     [n]; in place allowed: y == a or y == b
 */
void tg_add_s8_dsp(const tg_add_s8_cfg_t *cfg, const int8_t *a, const int8_t *b, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_ADD_S8_DSP_H_INCLUDED */
