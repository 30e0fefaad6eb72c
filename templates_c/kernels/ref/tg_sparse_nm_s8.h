/**
 * @file  tg_sparse_nm_s8.h
 * @brief Fully connected layer, int8: N:M patterns, one or two weights of each four neighbours.
 */
#ifndef TG_SPARSE_NM_S8_H_INCLUDED
#define TG_SPARSE_NM_S8_H_INCLUDED

#include "tg_dense_s8.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * y[r][o] = clamp(out_zp + requant(b'[o] + sum w[o][i] * x[r][i])).
 *
 * @param x  [rows][n_in]
 * @param w  stream of core/tg_sparse.h: how many of each four, 1 or 2; then an entry is one
 *           weight. Four of them are five bytes: their positions within their four inputs, in two bits each from the
 *           lowest on, and the weights; the last entries of a channel may be fewer than four
 * @param b  [n_out] with the input zero point folded
 * @param m  [n_out] multipliers
 * @param y  [rows][n_out]; must not overlap x
 */
void tg_sparse_nm_s8(const tg_dense_s8_cfg_t *cfg, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *m,
                     int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_SPARSE_NM_S8_H_INCLUDED */
