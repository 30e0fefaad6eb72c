/**
 * @file  tg_add_bc_s8.h
 * @brief Element-wise sum (or difference) of two int8 tensors with broadcasting.
 */
#ifndef TG_ADD_BC_S8_H_INCLUDED
#define TG_ADD_BC_S8_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t dims[4];    /**< of y, outermost first */
    int32_t a_stride[4]; /**< in elements; 0 repeats (broadcast) */
    int32_t b_stride[4];
    int32_t c;  /**< rounding, output zero point and both input zero points */
    int32_t ma; /**< |ma|, |mb| < 2^21 */
    int32_t mb;
    uint16_t shift; /**< 0..22 */
    int16_t lo;
    int16_t hi;
} tg_add_bc_s8_cfg_t;

/**
 * y = clamp((c + a * ma + b * mb) >> shift). y: [dims], contiguous; must not overlap a or b.
 */
void tg_add_bc_s8(const tg_add_bc_s8_cfg_t *cfg, const int8_t *a, const int8_t *b, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_ADD_BC_S8_H_INCLUDED */
