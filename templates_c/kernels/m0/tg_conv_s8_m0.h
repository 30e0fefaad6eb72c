/**
 * @file  tg_conv_s8_m0.h
 * @brief 2-D convolution, int8, for Cortex-M0 and M0+: two pixels in one multiplication. Same bits as tg_conv_s8.
 */
#ifndef TG_CONV_S8_M0_H_INCLUDED
#define TG_CONV_S8_M0_H_INCLUDED

#include "tg_conv_s8.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Limits: at least a tile of output pixels. Constants are packed by kernels/lanes/pack.py, pack_conv_lanes().
 *
 * @param x        [in_h][in_w][in_c]
 * @param w        pixels of a tile (8 or 4), then for each channel its groups of taps (a byte that tells the length,
 *                 then the weights) and a 0
 * @param b        [out_c], zero point folded
 * @param m        [1 + out_c]: the bits of the low part, then for each channel 65536 * high + low, both signed, with
 *                 m / 256 = high * 2^bits + low; or 0, then the multipliers as they are
 * @param scratch  the window of a tile, 2 bytes for each pixel and tap (conv_lanes_scratch()), 4-byte aligned
 * @param y        [out_h][out_w][out_c]; must not overlap x
 */
void tg_conv_s8_m0(const tg_conv_s8_cfg_t *cfg, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *m,
                   int16_t *scratch, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_CONV_S8_M0_H_INCLUDED */
