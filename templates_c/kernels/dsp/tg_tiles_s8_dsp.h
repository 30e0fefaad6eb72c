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

typedef struct {
    uint16_t in_h;
    uint16_t in_w;
    uint16_t in_c;
    uint16_t out_h;
    uint16_t out_w;
    uint16_t out_c;
    uint16_t k_h;
    uint16_t k_w;
    uint16_t stride_h;
    uint16_t stride_w;
    uint16_t dil_h;
    uint16_t dil_w;
    uint16_t pad_top;
    uint16_t pad_left;
    uint16_t groups;
    int16_t in_zp;
    int16_t out_zp;
    int16_t lo; /**< clamp, -128 <= lo <= hi <= 127; narrower than that only with y_channel 1 */
    int16_t hi;
    uint16_t shift;   /**< of the requantisation, 33..54 */
    uint16_t pairs;   /**< of taps in a window: the words of weights of two channels */
    uint16_t apart; /**< 1: the last of an odd number of channels takes a call of the kernel of its own */
    uint16_t window;  /**< bytes of scratch that the tile's window takes; 0: it is on the stack */
    uint16_t image_h; /**< size of a copy of the image in scratch, with its borders; 0: none, windows at the border */
    uint16_t image_w; /**< are gathered */
    uint16_t rows;    /**< rows of the window that four pixels of a column share, a multiple of 4; 0: they share none */
    uint16_t pixels;  /**< of a tile, 3 or 4 */
    uint16_t swap;    /**< 1: pixels are taken column by column */
    int32_t y_start;  /**< bytes to the first output */
    int32_t y_row;    /**< and from output row to output row, column to column, channel to channel */
    int32_t y_col;
    int32_t y_channel;
    tg_tile_fn_t tile; /**< tg_tile_*_dsp, of windows [pair][pixel], or [row / 4][pair][row % 4] where they share one */
    const int32_t *table; /**< of tg_tile_pal*_dsp: set by tg_tiles_pal_s8_dsp */
} tg_tiles_s8_cfg_t;

/**
 * y = clamp(out_zp + requant(b' + sum w * x)): taps outside the image read in_zp.
 *
 * @param x        [in_h][in_w][in_c]
 * @param w        streams of two channels, group after group: pack_tiles() of kernels/tile/pack.py
 * @param scratch  the window; then the copy of the image, or room for the taps of four pixels where they may leave the
 *                 image or have no even steps
 * @param y        [out_h][out_w][out_c], or planes (tinygen/plan/layout.py); must not overlap x
 */
void tg_tiles_s8_dsp(const tg_tiles_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, int16_t *scratch, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_TILES_S8_DSP_H_INCLUDED */
