/**
 * @file  tg_dwconv_s8_dsp.h
 * @brief Depthwise 2-D convolution, int8, for cores with the DSP extension. Same bits as tg_dwconv_s8.
 */
#ifndef TG_DWCONV_S8_DSP_H_INCLUDED
#define TG_DWCONV_S8_DSP_H_INCLUDED

#include "tg_dwconv_s8.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Limits: in_c == out_c >= 4, 33 <= shift <= 54. Constants are packed by kernels/conv/pack.py, pack_dwconv_dsp().
 * Four channels at a time; the last four may overlap those before, so any number from 4 on will do.
 *
 * @param x        [in_h][in_w][in_c]
 * @param w        [blocks][k_h][k_w] words: the weights of four channels, the first in the lowest byte;
 *                 block i starts at channel min(4 * i, out_c - 4)
 * @param b        [out_c], zero point folded
 * @param m        [out_c]
 * @param scratch  k_h * k_w * in_c bytes (dwconv_dsp_scratch()): the surroundings of a pixel at the border
 * @param y        [out_h][out_w][out_c]; must not overlap x
 */
void tg_dwconv_s8_dsp(const tg_dwconv_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, const int32_t *b,
                      const int32_t *m, int16_t *scratch, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_DWCONV_S8_DSP_H_INCLUDED */
