/**
 * @file  tg_norm_s16.h
 * @brief Normalisation by the statistics of sets of values: layer, group, instance, RMS, L2 (NUMERICS section 10).
 */
#ifndef TG_NORM_S16_H_INCLUDED
#define TG_NORM_S16_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t outer;
    uint32_t reps; /**< reps * width values share their statistics, 1..16384 */
    uint32_t groups;
    uint32_t width;
    uint32_t w_step; /**< 1: a pair in w for each column, 0: one for all */
    uint32_t centre; /**< 1: around the mean */
    uint32_t floor;  /**< 1: add is the least value, 0: an addend */
    uint32_t add_high; /**< add, 1..2^62 - 1 */
    uint32_t add_low;
    uint32_t down;  /**< least h with sqrt(reps * width) <= 2^h, plus 1 */
    uint32_t shift; /**< 1..8 */
    int32_t lo;
    int32_t hi;
} tg_norm_s16_cfg_t;

/**
 * x, y: [outer][reps][groups][width]; w: [groups][width] pairs of offset and factor, or one. In place allowed: y == x.
 */
void tg_norm_s16(const tg_norm_s16_cfg_t *cfg, const int16_t *x, const int32_t *w, int16_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_NORM_S16_H_INCLUDED */
