/**
 * @file  tg_reduce_l2_s8.h
 * @brief Euclidean length over the middle axis of [outer][n][inner], int8.
 */
#ifndef TG_REDUCE_L2_S8_H_INCLUDED
#define TG_REDUCE_L2_S8_H_INCLUDED

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
    uint16_t shift; /**< 0..32 */
} tg_reduce_l2_s8_cfg_t;

/**
 * y = clamp(out_zp + m * 2^-shift * sqrt(sum over n of (x - in_zp)^2)). n <= 65535.
 * x: [outer][n][inner]; y: [outer][inner], must not overlap x.
 */
void tg_reduce_l2_s8(const tg_reduce_l2_s8_cfg_t *cfg, const int8_t *x, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_REDUCE_L2_S8_H_INCLUDED */
