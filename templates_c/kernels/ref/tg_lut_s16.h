/**
 * @file  tg_lut_s16.h
 * @brief Any function of one int16 value: a table of every 128th, and lines between.
 */
#ifndef TG_LUT_S16_H_INCLUDED
#define TG_LUT_S16_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t n;
} tg_lut_s16_cfg_t;

/**
 * Between two entries of the table lie 128 integers, and a straight line: with u = x + 32768, i = u >> 7, r = u & 127,
 * y = table[i] + (((table[i + 1] - table[i]) * r + 64) >> 7). x, y: [n]; table: [513]. In place allowed: y == x.
 */
void tg_lut_s16(const tg_lut_s16_cfg_t *cfg, const int16_t *x, const int16_t *table, int16_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_LUT_S16_H_INCLUDED */
