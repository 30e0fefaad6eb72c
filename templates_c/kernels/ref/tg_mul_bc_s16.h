/**
 * @file  tg_mul_bc_s16.h
 * @brief Element-wise product of two int16 tensors with broadcasting.
 */
#ifndef TG_MUL_BC_S16_H_INCLUDED
#define TG_MUL_BC_S16_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t dims[4];    /**< of y, outermost first */
    int32_t a_stride[4]; /**< in elements; 0 repeats (broadcast) */
    int32_t b_stride[4];
    int32_t m;
    int16_t lo;
    int16_t hi;
    uint16_t shift; /**< 1..62 */
} tg_mul_bc_s16_cfg_t;

/**
 * y = clamp(requant(a * b)). y: [dims], contiguous; must not overlap a or b.
 */
void tg_mul_bc_s16(const tg_mul_bc_s16_cfg_t *cfg, const int16_t *a, const int16_t *b, int16_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_MUL_BC_S16_H_INCLUDED */
