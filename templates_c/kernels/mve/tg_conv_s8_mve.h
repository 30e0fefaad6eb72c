/**
 * @file  tg_conv_s8_mve.h
 * @brief 2-D convolution, int8, any kernel, stride, dilation, padding and number of groups, for cores with Helium.
 *        Same bits as tg_conv_s8.
 */
#ifndef TG_CONV_S8_MVE_H_INCLUDED
#define TG_CONV_S8_MVE_H_INCLUDED

#include "tg_conv_s8.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Limits: 32 <= shift <= 62, out_c <= 21844. Constants are packed by kernels/mve/pack.py, pack_conv_mve().
 *
 * A pixel's window is K = k_h * k_w * in_c / groups values. They are taken 16 at a time, the last 1..16 first.
 *
 * @param x        [in_h][in_w][in_c]
 * @param w        a record for each pair of channels of a group (the last of an odd number is paired with itself): the
 *                 last K % 16 weights (16 if 0) of both channels, filled up with zeros to 16 each; the other weights
 *                 in turns of 16 of the one and 16 of the other; biases with the zero point folded, multipliers
 * @param scratch  four windows, each rounded up to 16 bytes (conv_mve_scratch()); not touched when every window lies in
 *                 one piece inside the image
 * @param y        [out_h][out_w][out_c]; must not overlap x
 */
void tg_conv_s8_mve(const tg_conv_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, int16_t *scratch, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_CONV_S8_MVE_H_INCLUDED */
