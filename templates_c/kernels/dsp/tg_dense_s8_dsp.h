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
 * Limit: 33 <= shift <= 54. Constants are packed by plan/variants/pack_dsp.py, pack_dense_dsp(); n_in is padded to a
 * multiple of 4 and n_out to a multiple of 4 with weights 0, n_in and n_out in cfg are the real ones.
 *
 * @param x  [rows][n_in]
 * @param w  [n_out / 4][n_in / 4][2][2] words; word [o][i][j][p] holds weights 4 * i + j and 4 * i + j + 2 of channels
 *           c = 4 * o + 2 * p and c + 1 as two halves 256 * w[c + 1] + w[c]
 * @param b  [n_out padded to 4], zero point folded
 * @param m  [n_out padded to 4]
 * @param y  [rows][n_out]; must not overlap x
 */
void tg_dense_s8_dsp(const tg_dense_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, const int32_t *b,
                     const int32_t *m, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_DENSE_S8_DSP_H_INCLUDED */
