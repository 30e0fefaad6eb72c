/**
 * @file  tg_div_bc_s8.h
 * @brief Element-wise quotient of two int8 tensors with broadcasting.
 */
#ifndef TG_DIV_BC_S8_H_INCLUDED
#define TG_DIV_BC_S8_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t dims[4];    /**< of y, outermost first */
    int32_t a_stride[4]; /**< in elements; 0 repeats (broadcast) */
    int32_t b_stride[4];
    uint32_t m; /**< below 2^22 */
    int16_t a_zp;
    int16_t b_zp;
    int16_t out_zp;
    uint16_t shift; /**< 1..30 */
} tg_div_bc_s8_cfg_t;

/**
 * y = clamp(out_zp + (a - a_zp) / (b - b_zp) * m / 2^shift). y: [dims], contiguous; must not overlap a or b.
 */
void tg_div_bc_s8(const tg_div_bc_s8_cfg_t *cfg, const int8_t *a, const int8_t *b, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_DIV_BC_S8_H_INCLUDED */
