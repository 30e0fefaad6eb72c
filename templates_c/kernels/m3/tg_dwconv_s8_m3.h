/**
 * @file  tg_dwconv_s8_m3.h
 * @brief Depthwise 2-D convolution, int8, for Cortex-M3. Same bits as tg_dwconv_s8.
 */
#ifndef TG_DWCONV_S8_M3_H_INCLUDED
#define TG_DWCONV_S8_M3_H_INCLUDED

#include "tg_dwconv_s8.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Limits: stride_w 1 or 2, dil_w 1 (of an image one pixel wide: stride_h, dil_h).
 * How it computes: core/tg_dwconv_plane.h. Constants are packed by kernels/small/pack.py, pack_dwconv().
 *
 * @param x        [in_h][in_w][in_c]
 * @param w        [out_c][k_h][k_w, filled with zeros to a multiple of 3]; of an image one pixel wide the column is a
 * row
 * @param b        [out_c], zero point folded, less 128 times the sum of the channel's weights
 * @param m        [out_c], even; 1 more for a channel that does not keep 33 <= shift <= 54
 * @param scratch  dwconv_scratch() bytes: weights of a channel as words, sums, and the channel with its padding
 * @param y        [out_h][out_w][out_c]; must not overlap x
 */
void tg_dwconv_s8_m3(const tg_dwconv_s8_cfg_t *cfg, const int8_t *x, const int8_t *w, const int32_t *b,
                     const int32_t *m, int16_t *scratch, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_DWCONV_S8_M3_H_INCLUDED */
