/**
 * @file  tg_reduce_sum_s8.h
 * @brief Sum (or mean: the divisor is in m) over the middle axis of [outer][n][inner], int8.
 */
#ifndef TG_REDUCE_SUM_S8_H_INCLUDED
#define TG_REDUCE_SUM_S8_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t outer;
    uint32_t n;
    uint32_t inner;
    int32_t m;
    int16_t in_zp;
    int16_t out_zp;
    uint16_t shift; /**< 1..62 */
    uint16_t even;  /**< 1: a mean of x, in its own scale: halves go to even */
} tg_reduce_sum_s8_cfg_t;

/**
 * y = clamp(out_zp + requant(sum over n of (x - in_zp)), -128, 127). n <= 2^22.
 * x: [outer][n][inner]; y: [outer][inner], must not overlap x.
 */
void tg_reduce_sum_s8(const tg_reduce_sum_s8_cfg_t *cfg, const int8_t *x, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_REDUCE_SUM_S8_H_INCLUDED */
