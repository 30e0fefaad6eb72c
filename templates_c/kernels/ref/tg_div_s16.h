/**
 * @file  tg_div_s16.h
 * @brief Element-wise quotient of two int16 tensors of one shape.
 */
#ifndef TG_DIV_S16_H_INCLUDED
#define TG_DIV_S16_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t n;
    uint32_t m; /**< below 2^31 */
    uint16_t shift; /**< 1..46 */
} tg_div_s16_cfg_t;

/**
 * y = clamp(a / b * m / 2^shift). a, b, y: [n]. In place allowed: y == a or y == b.
 */
void tg_div_s16(const tg_div_s16_cfg_t *cfg, const int16_t *a, const int16_t *b, int16_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_DIV_S16_H_INCLUDED */
