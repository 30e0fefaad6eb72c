/**
 * @file  tg_dense_s16_dsp.h
 * @brief Fully connected layer, int16 inputs, for cores with the DSP extension. Same bits as tg_dense_s16.
 */
#ifndef TG_DENSE_S16_DSP_H_INCLUDED
#define TG_DENSE_S16_DSP_H_INCLUDED

#include "tg_dense_s16.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Limits: 33 <= shift <= 54. Constants are packed by kernels/wide/pack.py, pack_dense().
 *
 * @param x        [rows][n_in]
 * @param w        blocks of 8 channels, and one of 4 where 1 to 4 remain: [n_in padded to 4 / 2][channels / 2] words; a
 *                 word holds weights k, k + 1 of channels c, c + 1 as bytes w[c][k], w[c + 1][k], w[c][k + 1],
 *                 w[c + 1][k + 1]; what is padded is zero
 * @param b        [n_out padded as the weights are]
 * @param m        [n_out padded as the weights are]
 * @param scratch  n_in padded to 4: a row
 * @param y        [rows][n_out], of int16 or int8; must not overlap x
 */
void tg_dense_s16_dsp(const tg_dense_s16_cfg_t *cfg, const int16_t *x, const int32_t *w, const int32_t *b,
                      const int32_t *m, int16_t *scratch, void *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_DENSE_S16_DSP_H_INCLUDED */
