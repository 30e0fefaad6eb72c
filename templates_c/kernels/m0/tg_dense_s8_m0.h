/**
 * @file  tg_dense_s8_m0.h
 * @brief Fully connected layer, int8, for Cortex-M0 and M0+. Same bits as tg_dense_s8.
 */
#ifndef TG_DENSE_S8_M0_H_INCLUDED
#define TG_DENSE_S8_M0_H_INCLUDED

#include "tg_dense_s8.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * How it computes: core/tg_dense_lanes.h. Constants are packed by kernels/small/pack.py, pack_dense().
 *
 * @param x        [rows][n_in]
 * @param w        words: taps of a group (4, 8 or 16); then for each 128 inputs: the number of rests, the rests
 *                 (tg_rests_t), and for each 4 channels one word of 4 weights + 128 for each tap, filled with 128 to
 *                 whole groups
 * @param b        [n_out, filled to a multiple of 4], zero point folded, less 2^15 for each group where channel % 4 < 2
 * @param m        [n_out, filled to a multiple of 4]
 * @param scratch  dense_scratch() bytes: up to 128 inputs as words, and the sums when there are more
 * @param y        [rows][n_out]; must not overlap x
 */
void tg_dense_s8_m0(const tg_dense_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, const int32_t *b, const int32_t *m,
                    int16_t *scratch, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_DENSE_S8_M0_H_INCLUDED */
