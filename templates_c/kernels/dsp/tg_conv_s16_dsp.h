/**
 * @file  tg_conv_s16_dsp.h
 * @brief 2-D convolution, int16 inputs, one group, for cores with the DSP extension. Same bits as tg_conv_s16.
 */
#ifndef TG_CONV_S16_DSP_H_INCLUDED
#define TG_CONV_S16_DSP_H_INCLUDED

#include "tg_conv_s16.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Limits: groups == 1, 33 <= shift <= 54. Constants are packed by kernels/wide/pack.py, pack_conv().
 *
 * The taps of a pixel are seen as runs of values that are neighbours in the image: k_h runs of k_w * in_c when
 * dil_w == 1, else k_h * k_w runs of in_c. Each run is padded to an even length, all runs together, K values, to a
 * multiple of 4.
 *
 * @param x        [in_h][in_w][in_c]
 * @param w        [out_c / 4][K / 2][2] words; a word holds weights k, k + 1 of channels c, c + 1 as bytes
 *                 w[c][k], w[c + 1][k], w[c][k + 1], w[c + 1][k + 1]; channels are padded to a multiple of 4 with zeros
 * @param b        [out_c padded to 4]
 * @param m        [out_c padded to 4]
 * @param scratch  2 * K values: the windows of two pixels
 * @param y        [out_h][out_w][out_c], of int16 or int8; must not overlap x
 */
void tg_conv_s16_dsp(const tg_conv_s16_cfg_t *cfg, const int16_t *x, const int32_t *w, const int32_t *b,
                     const int32_t *m, int16_t *scratch, void *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_CONV_S16_DSP_H_INCLUDED */
