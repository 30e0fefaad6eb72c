/**
 * @file  tg_tiles_pal_s8_dsp.h
 * @brief 2-D convolution by tiles, of weights that are indices into a table. Same bits as tg_conv_s8.
 */
#ifndef TG_TILES_PAL_S8_DSP_H_INCLUDED
#define TG_TILES_PAL_S8_DSP_H_INCLUDED

#include "tg_tiles_s8_dsp.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * As tg_tiles_s8_dsp, with a tile kernel tg_tile_pal*_dsp; groups == 1.
 *
 * @param w      streams of two channels: pack_tile() of kernels/palette/pack.py; cfg->pairs words of indices each
 * @param table  what the tile kernel's header says
 */
void tg_tiles_pal_s8_dsp(const tg_tiles_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, const int32_t *table,
                         int16_t *scratch, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_TILES_PAL_S8_DSP_H_INCLUDED */
