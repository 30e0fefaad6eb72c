/**
 * @file  tg_log_sum_exp_s8.h
 * @brief log(sum(exp(x))) over the last axis, int8.
 */
#ifndef TG_LOG_SUM_EXP_S8_H_INCLUDED
#define TG_LOG_SUM_EXP_S8_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t rows;
    uint32_t n;     /**< 1..4096 */
    uint32_t len;   /**< entries of e; beyond them e is 0 */
    int32_t m1;     /**< s_x / s_y * 2^shift */
    int32_t m2;     /**< ln 2 / (65536 * s_y) * 2^shift */
    uint16_t shift; /**< 1..46 */
    int16_t out_zp;
    int16_t in_zp;
} tg_log_sum_exp_s8_cfg_t;

/**
 * x: [rows][n]; e: [len], rint(65535 * exp(-scale * d)); y: [rows], must not overlap x.
 */
void tg_log_sum_exp_s8(const tg_log_sum_exp_s8_cfg_t *cfg, const int8_t *x, const uint16_t *e, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_LOG_SUM_EXP_S8_H_INCLUDED */
