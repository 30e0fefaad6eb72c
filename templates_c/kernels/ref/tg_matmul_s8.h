/**
 * @file  tg_matmul_s8.h
 * @brief Product of two int8 matrices, by slices, read and written in any order of axes (NUMERICS section 10).
 */
#ifndef TG_MATMUL_S8_H_INCLUDED
#define TG_MATMUL_S8_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t dims[4];    /**< slices, slices, rows, columns of y */
    int32_t a_stride[4]; /**< in elements; 0 repeats */
    int32_t b_stride[4];
    int32_t y_stride[4];
    uint32_t inner; /**< products of a sum, at most 32768 */
    int32_t a_step; /**< from product to product */
    int32_t b_step;
    int32_t m;
    int16_t a_zp;
    int16_t b_zp;
    int16_t out_zp;
    int16_t lo;
    int16_t hi;
    uint16_t shift; /**< 1..62 */
} tg_matmul_s8_cfg_t;

/**
 * y = clamp(out_zp + requant(sum of (a - a_zp) * (b - b_zp))). y must not overlap a or b.
 */
void tg_matmul_s8(const tg_matmul_s8_cfg_t *cfg, const int8_t *a, const int8_t *b, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_MATMUL_S8_H_INCLUDED */
