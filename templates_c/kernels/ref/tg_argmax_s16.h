/**
 * @file  tg_argmax_s16.h
 * @brief Index of the largest value of the last axis, int16 inputs: y = index - 128.
 */
#ifndef TG_ARGMAX_S16_H_INCLUDED
#define TG_ARGMAX_S16_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t rows;
    uint32_t n;    /**< 1..256 */
    uint32_t last; /**< of equals, 0: the first wins; 1: the last */
} tg_argmax_s16_cfg_t;

/**
 * x: [rows][n]; y: [rows], must not overlap x.
 */
void tg_argmax_s16(const tg_argmax_s16_cfg_t *cfg, const int16_t *x, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_ARGMAX_S16_H_INCLUDED */
