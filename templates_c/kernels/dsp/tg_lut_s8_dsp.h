/**
 * @file  tg_lut_s8_dsp.h
 * @brief Any function of one int8 value, as a table, for cores with the DSP extension. Same bits as tg_lut_s8.
 */
#ifndef TG_LUT_S8_DSP_H_INCLUDED
#define TG_LUT_S8_DSP_H_INCLUDED

#include "tg_lut_s8.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * x, y: [n], at any alignment; table: [256]. In place allowed: y == x.
 */
void tg_lut_s8_dsp(const tg_lut_s8_cfg_t *cfg, const int8_t *x, const int8_t *table, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_LUT_S8_DSP_H_INCLUDED */
