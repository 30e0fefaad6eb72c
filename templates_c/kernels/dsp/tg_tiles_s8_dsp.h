/**
 * @file  tg_tiles_s8_dsp.h
 * @brief 2-D convolution by tiles of four pixels that each have a window of their own; any geometry. DSP extension.
 */
#ifndef TG_TILES_S8_DSP_H_INCLUDED
#define TG_TILES_S8_DSP_H_INCLUDED

#include "tg_tile_dsp.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * y = clamp(out_zp + requant(b' + sum w * x)): taps outside the image read in_zp.
 *
 * @param x        [in_h][in_w][in_c]
 * @param w        streams of two channels, group after group: pack_tiles() of kernels/tile/pack.py
 * @param scratch  the window; then the copy of the image, or room for the taps of four pixels where they may leave the
 *                 image or have no even steps
 * @param y        [out_h][out_w][out_c], or planes (tinygen/plan/planar.py); must not overlap x
 */
void tg_tiles_s8_dsp(const tg_tiles_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, int16_t *scratch, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_TILES_S8_DSP_H_INCLUDED */
