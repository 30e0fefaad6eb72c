/**
 * @file  tg_conv_s8_dsp.h
 * @brief 2-D convolution, int8, one group, for cores with the DSP extension. Same bits as tg_conv_s8.
 */
#ifndef TG_CONV_S8_DSP_H_INCLUDED
#define TG_CONV_S8_DSP_H_INCLUDED

#include "tg_conv_s8.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Limits: groups == 1, 33 <= shift <= 54. Constants are packed by kernels/conv/pack.py, pack_conv_dsp().
 *
 * The taps of a pixel are seen as runs of bytes that are neighbours in the image: k_h runs of k_w * in_c when
 * dil_w == 1, else k_h * k_w runs of in_c. Each run is padded to an even length; all runs together are K values.
 *
 * @param x        [in_h][in_w][in_c]
 * @param w        [out_c / 4][K / 2][2] words; a word holds weights k, k + 1 of channels c, c + 1 as two halves
 *                 256 * w[c + 1] + w[c]; channels are padded to a multiple of 4 with zeros
 * @param b        [out_c padded to 4], zero point folded
 * @param m        [out_c padded to 4]
 * @param scratch  2 * K halves and one run of bytes (conv_dsp_scratch())
 * @param y        [out_h][out_w][out_c]; must not overlap x
 */
void tg_conv_s8_dsp(const tg_conv_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, const int32_t *b, const int32_t *m,
                    int16_t *scratch, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_CONV_S8_DSP_H_INCLUDED */
