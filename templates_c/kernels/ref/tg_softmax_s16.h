/**
 * @file  tg_softmax_s16.h
 * @brief Softmax over the last axis, int16 inputs. Output int16 of scale 1/32768, or int8 of 1/256.
 */
#ifndef TG_SOFTMAX_S16_H_INCLUDED
#define TG_SOFTMAX_S16_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t rows;
    uint32_t n;     /**< 1..4096 */
    uint32_t exp_m; /**< exp(-scale * d) = 2^(-(d * exp_m >> exp_shift) / 65536) */
    uint32_t exp_shift;
    uint32_t len;  /**< of the differences d that have an exponential above 0, 1..65536 */
    uint32_t wide; /**< 1: y is int16, 0: y is int8 */
} tg_softmax_s16_cfg_t;

/**
 * x, y: [rows][n]. In place allowed where y is int16: y == x.
 */
void tg_softmax_s16(const tg_softmax_s16_cfg_t *cfg, const int16_t *x, void *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_SOFTMAX_S16_H_INCLUDED */
