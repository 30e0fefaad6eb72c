/**
 * @file  tg_reduce_sum_s16.h
 * @brief Sum (or mean: the divisor is in m) over the middle axis of [outer][n][inner], int16.
 */
#ifndef TG_REDUCE_SUM_S16_H_INCLUDED
#define TG_REDUCE_SUM_S16_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t outer;
    uint32_t n;
    uint32_t inner;
    int32_t m;
    uint16_t shift; /**< 1..62 */
} tg_reduce_sum_s16_cfg_t;

/**
 * y = clamp(requant(sum over n of x), -32768, 32767). n <= 65535.
 * x: [outer][n][inner]; y: [outer][inner], must not overlap x.
 */
void tg_reduce_sum_s16(const tg_reduce_sum_s16_cfg_t *cfg, const int16_t *x, int16_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_REDUCE_SUM_S16_H_INCLUDED */
