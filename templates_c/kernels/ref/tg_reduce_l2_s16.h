/**
 * @file  tg_reduce_l2_s16.h
 * @brief Euclidean length over the middle axis of [outer][n][inner], int16 to int16 or int8.
 */
#ifndef TG_REDUCE_L2_S16_H_INCLUDED
#define TG_REDUCE_L2_S16_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t outer;
    uint32_t n;
    uint32_t inner;
    int32_t m;
    int16_t out_zp;
    uint16_t shift; /**< 0..32 */
    uint16_t wide;  /**< y is int16, else int8 */
} tg_reduce_l2_s16_cfg_t;

/**
 * y = clamp(out_zp + m * 2^-shift * sqrt(sum over n of x^2)). n <= 16384.
 * x: [outer][n][inner]; y: [outer][inner], must not overlap x.
 */
void tg_reduce_l2_s16(const tg_reduce_l2_s16_cfg_t *cfg, const int16_t *x, void *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_REDUCE_L2_S16_H_INCLUDED */
