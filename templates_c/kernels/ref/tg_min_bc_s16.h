/**
 * @file  tg_min_bc_s16.h
 * @brief The smaller of two int16 tensors, element by element, with broadcasting.
 */
#ifndef TG_MIN_BC_S16_H_INCLUDED
#define TG_MIN_BC_S16_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t dims[4];    /**< of y, outermost first */
    int32_t a_stride[4]; /**< in elements; 0 repeats (broadcast) */
    int32_t b_stride[4];
} tg_min_bc_s16_cfg_t;

/**
 * y = min(a, b); all three share scale and zero point. y: [dims], contiguous; must not overlap a or b.
 */
void tg_min_bc_s16(const tg_min_bc_s16_cfg_t *cfg, const int16_t *a, const int16_t *b, int16_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_MIN_BC_S16_H_INCLUDED */
