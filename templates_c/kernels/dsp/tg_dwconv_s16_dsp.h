/**
 * @file  tg_dwconv_s16_dsp.h
 * @brief Depthwise 2-D convolution, int16 inputs, for cores with the DSP extension. Same bits as tg_dwconv_s16.
 */
#ifndef TG_DWCONV_S16_DSP_H_INCLUDED
#define TG_DWCONV_S16_DSP_H_INCLUDED

#include "tg_dwconv_s16.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Limits: in_c == out_c >= 4, 33 <= shift <= 54. Constants are packed by kernels/conv/pack.py, pack_dwconv_dsp().
 *
 * @param x  [in_h][in_w][in_c]
 * @param w  [blocks][k_h][k_w] words of four channels; block i starts at channel min(4 * i, channels - 4)
 * @param b  [out_c]
 * @param m  [out_c]
 * @param y  [out_h][out_w][out_c], of int16 or int8; must not overlap x
 */
void tg_dwconv_s16_dsp(const tg_dwconv_s16_cfg_t *cfg, const int16_t *x, const int32_t *w, const int32_t *b,
                       const int32_t *m, void *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_DWCONV_S16_DSP_H_INCLUDED */
