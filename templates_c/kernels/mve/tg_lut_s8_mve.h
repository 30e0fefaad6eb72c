/**
 * @file  tg_lut_s8_mve.h
 * @brief Any function of one value, as a table, int8, for cores with Helium. Same bits as tg_lut_s8.
 */
#ifndef TG_LUT_S8_MVE_H_INCLUDED
#define TG_LUT_S8_MVE_H_INCLUDED

#include "tg_lut_s8.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * y[i] = table[x[i] + 128]. x, y: [n]; table: [256]. In place allowed: y == x.
 */
void tg_lut_s8_mve(const tg_lut_s8_cfg_t *cfg, const int8_t *x, const int8_t *table, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_LUT_S8_MVE_H_INCLUDED */
