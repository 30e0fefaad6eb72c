/**
 * @file  tg_sparse_pal4_s8.h
 * @brief Fully connected layer, int8: 4-bit gaps between the weights that are not 0, which are at most 16 different
 * ones.
 */
#ifndef TG_SPARSE_PAL4_S8_H_INCLUDED
#define TG_SPARSE_PAL4_S8_H_INCLUDED

#include "tg_dense_s8.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * y[r][o] = clamp(out_zp + requant(b'[o] + sum w[o][i] * x[r][i])).
 *
 * @param x  [rows][n_in]
 * @param w  stream of core/tg_sparse.h: 16 weights; then an entry is one byte: in its upper half
 *           how far its weight lies behind the one before (the first: behind the start of the row), 0..15, and in
 *           the lower half which of the 16 it is
 * @param b  [n_out] with the input zero point folded
 * @param m  [n_out] multipliers
 * @param y  [rows][n_out]; must not overlap x
 */
void tg_sparse_pal4_s8(const tg_dense_s8_cfg_t *cfg, const int8_t *x, const int8_t *w, const int32_t *b,
                       const int32_t *m, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_SPARSE_PAL4_S8_H_INCLUDED */
