/**
 * @file  tg_dense_pal_s8.h
 * @brief Fully connected layer, int8, of weights that are indices into a table. Same bits as tg_dense_s8.
 */
#ifndef TG_DENSE_PAL_S8_H_INCLUDED
#define TG_DENSE_PAL_S8_H_INCLUDED

#include "tg_dense_s8.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Constants are packed by kernels/palette/pack.py.
 *
 * @param x      [rows][n_in]
 * @param w      [n_out][words]: the indices of n_in weights, 32 / width in a word, the first lowest
 * @param table  the width of an index in bits (1..6), then the weights by index
 * @param b      [n_out], zero point folded
 * @param m      [n_out]
 * @param y      [rows][n_out]; must not overlap x
 */
void tg_dense_pal_s8(const tg_dense_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, const int8_t *table,
                     const int32_t *b, const int32_t *m, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_DENSE_PAL_S8_H_INCLUDED */
