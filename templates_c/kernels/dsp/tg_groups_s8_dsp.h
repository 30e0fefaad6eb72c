/**
 * @file  tg_groups_s8_dsp.h
 * @brief 2-D convolution by groups of tiles, for which weights are read once; any geometry. DSP extension.
 */
#ifndef TG_GROUPS_S8_DSP_H_INCLUDED
#define TG_GROUPS_S8_DSP_H_INCLUDED

#include "tg_tile_dsp.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * y = clamp(out_zp + requant(b' + sum w * x)): taps outside the image read in_zp. Where flash waits, the waits for
 * weights are those of tg_tiles_s8_dsp over the tiles of a group.
 *
 * @param cfg      `tile` is a tg_tile_g*_dsp, `window` the bytes of a group's windows and places, `pixels` 4, `rows` 0,
 *                 `apart` 1 for an odd number of channels
 * @param x        [in_h][in_w][in_c]
 * @param w        streams of two channels, group after group: pack_tiles() of kernels/tile/pack.py
 * @param scratch  the windows, and behind each its place: bytes to the output of its first pixel, and from that to the
 *                 others; then the copy of the image, or room for the taps of four pixels where they may leave the
 *                 image or have no even steps
 * @param y        [out_h][out_w][out_c], or planes (tinygen/plan/planar.py); must not overlap x
 */
void tg_groups_s8_dsp(const tg_tiles_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, int16_t *scratch, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_GROUPS_S8_DSP_H_INCLUDED */
