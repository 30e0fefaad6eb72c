/**
 * @file  tg_matmul_s16.h
 * @brief Product of two int16 matrices, by slices, read and written in any order of axes (NUMERICS section 10).
 */
#ifndef TG_MATMUL_S16_H_INCLUDED
#define TG_MATMUL_S16_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t dims[4];    /**< slices, slices, rows, columns of y */
    int32_t a_stride[4]; /**< in elements; 0 repeats */
    int32_t b_stride[4];
    int32_t y_stride[4];
    uint32_t inner; /**< products of a sum, at most 65536 */
    int32_t a_step; /**< from product to product */
    int32_t b_step;
    int32_t m;
    int16_t lo;
    int16_t hi;
    uint16_t shift; /**< 1..62 */
    uint16_t down;  /**< sums are shifted by so much: least r with inner <= 2^r */
} tg_matmul_s16_cfg_t;

/**
 * y = clamp(requant(sum of a * b >> down)). y must not overlap a or b.
 */
void tg_matmul_s16(const tg_matmul_s16_cfg_t *cfg, const int16_t *a, const int16_t *b, int16_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_MATMUL_S16_H_INCLUDED */
