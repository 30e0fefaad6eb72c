/**
 * @file  tg_add_bc_s16.h
 * @brief Element-wise sum (or difference) of two int16 tensors with broadcasting.
 */
#ifndef TG_ADD_BC_S16_H_INCLUDED
#define TG_ADD_BC_S16_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t dims[4];    /**< of y, outermost first */
    int32_t a_stride[4]; /**< in elements; 0 repeats (broadcast) */
    int32_t b_stride[4];
    int32_t c;  /**< rounding */
    int16_t ma; /**< |ma|, |mb| < 2^14: the sum stays below 2^31 */
    int16_t mb;
    uint16_t shift; /**< 0..22 */
    int16_t lo;
    int16_t hi;
} tg_add_bc_s16_cfg_t;

/**
 * y = clamp((c + a * ma + b * mb) >> shift). y: [dims], contiguous; must not overlap a or b.
 */
void tg_add_bc_s16(const tg_add_bc_s16_cfg_t *cfg, const int16_t *a, const int16_t *b, int16_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_ADD_BC_S16_H_INCLUDED */
