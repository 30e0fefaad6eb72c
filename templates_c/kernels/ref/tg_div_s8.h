/**
 * @file  tg_div_s8.h
 * @brief Element-wise quotient of two int8 tensors of one shape.
 */
#ifndef TG_DIV_S8_H_INCLUDED
#define TG_DIV_S8_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t n;
    uint32_t m; /**< below 2^22 */
    int16_t a_zp;
    int16_t b_zp;
    int16_t out_zp;
    uint16_t shift; /**< 1..30 */
} tg_div_s8_cfg_t;

/**
 * y = clamp(out_zp + (a - a_zp) / (b - b_zp) * m / 2^shift). a, b, y: [n]. In place allowed: y == a or y == b.
 */
void tg_div_s8(const tg_div_s8_cfg_t *cfg, const int8_t *a, const int8_t *b, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_DIV_S8_H_INCLUDED */
