/**
 * @file  tg_lut_s8.h
 * @brief Any function of one int8 value, as a table.
 */
#ifndef TG_LUT_S8_H_INCLUDED
#define TG_LUT_S8_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t n;
} tg_lut_s8_cfg_t;

/**
 * y[i] = table[x[i] + 128]. x, y: [n]; table: [256]. In place allowed: y == x.
 */
void tg_lut_s8(const tg_lut_s8_cfg_t *cfg, const int8_t *x, const int8_t *table, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_LUT_S8_H_INCLUDED */
