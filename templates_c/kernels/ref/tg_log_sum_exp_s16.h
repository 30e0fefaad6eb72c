/**
 * @file  tg_log_sum_exp_s16.h
 * @brief log(sum(exp(x))) over the last axis, int16 inputs.
 */
#ifndef TG_LOG_SUM_EXP_S16_H_INCLUDED
#define TG_LOG_SUM_EXP_S16_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t rows;
    uint32_t n;     /**< 1..4096 */
    uint32_t exp_m; /**< exp(-scale * d) = 2^(-(d * exp_m >> exp_shift) / 65536) */
    uint32_t exp_shift;
    uint32_t len;   /**< of the differences d that have an exponential above 0, 1..65536 */
    int32_t m1;     /**< s_x / s_y * 2^shift */
    int32_t m2;     /**< ln 2 / (65536 * s_y) * 2^shift */
    uint16_t shift; /**< 1..46 */
    int16_t out_zp;
    uint32_t wide; /**< 1: y is int16, 0: y is int8 */
} tg_log_sum_exp_s16_cfg_t;

/**
 * x: [rows][n]; y: [rows]; y must not overlap x.
 */
void tg_log_sum_exp_s16(const tg_log_sum_exp_s16_cfg_t *cfg, const int16_t *x, void *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_LOG_SUM_EXP_S16_H_INCLUDED */
