/**
 * @file  tg_dense_s8_dsp.h
 * @brief Fully connected layer, int8, for cores with the DSP extension. Same bits as tg_dense_s8.
 */
#ifndef TG_DENSE_S8_DSP_H_INCLUDED
#define TG_DENSE_S8_DSP_H_INCLUDED

#include "tg_dense_s8.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Limit: 33 <= shift <= 54. Constants are packed by kernels/dense/pack.py, which pads n_in to a multiple of 4 and
 * n_out to a multiple of 4 with weights 0 (n_in and n_out in cfg are the real ones) and checks that no sum overflows.
 * The inner loop is assembly in 14 registers; the stack pointer stays a stack pointer.
 *
 * @param x        [rows][n_in]
 * @param w        blocks of eight channels, then one of four if 1 to 4 channels remain: the biases (of an odd channel
 *                 256 times its own plus the even one's), then words [n_in / 2][channels / 2] of raw pairs
 *                 256 * w[odd] + w[even]; last, four words that are read but not used
 * @param m        m[0] is the step from block to block: 8, or 0 when all channels share one multiplier; behind it the
 *                 multipliers of the blocks, those of odd channels divided by 256
 * @param scratch  [2 * ((n_in + 3) / 4) + 1] words: one row of x as halves
 * @param y        [rows][n_out]; must not overlap x
 */
void tg_dense_s8_dsp(const tg_dense_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, const int32_t *m,
                     int16_t *scratch, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_DENSE_S8_DSP_H_INCLUDED */
