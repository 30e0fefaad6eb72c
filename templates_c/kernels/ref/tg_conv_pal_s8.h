/**
 * @file  tg_conv_pal_s8.h
 * @brief 2-D convolution, int8, one group, of weights that are indices into a table. Same bits as tg_conv_s8.
 */
#ifndef TG_CONV_PAL_S8_H_INCLUDED
#define TG_CONV_PAL_S8_H_INCLUDED

#include "tg_conv_s8.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Limit: groups == 1. Constants are packed by kernels/palette/pack.py, which folds b as tg_conv_s8 wants it.
 *
 * @param x      [in_h][in_w][in_c]
 * @param w      [out_c][words]: the indices of k_h * k_w * in_c weights, 32 / width in a word, the first lowest
 * @param table  the width of an index in bits (1..6), then the weights by index
 * @param b      [out_c], zero point folded
 * @param m      [out_c]
 * @param y      [out_h][out_w][out_c]; must not overlap x
 */
void tg_conv_pal_s8(const tg_conv_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, const int8_t *table,
                    const int32_t *b, const int32_t *m, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_CONV_PAL_S8_H_INCLUDED */
