/**
 * @file  tg_slides_s8_dsp.h
 * @brief 2-D convolution by tiles of four pixels of a row that share a window; channels in fours. DSP extension.
 */
#ifndef TG_SLIDES_S8_DSP_H_INCLUDED
#define TG_SLIDES_S8_DSP_H_INCLUDED

#include "tg_tile_dsp.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint16_t in_h;
    uint16_t in_w;
    uint16_t in_c; /**< at least 4 */
    uint16_t out_h;
    uint16_t out_w; /**< at least 4 */
    uint16_t out_c;
    uint16_t k_h;
    uint16_t stride_h;
    uint16_t stride_w;
    uint16_t dil_h;
    uint16_t pad_top;
    uint16_t pad_left;
    int16_t in_zp;
    int16_t out_zp;
    int16_t lo; /**< clamp, -128 <= lo <= hi <= 127; narrower than that only with y_channel 1 */
    int16_t hi;
    uint16_t shift;     /**< of the requantisation, 33..54 */
    uint16_t pairs;     /**< of taps in a window: the words of weights of two channels */
    uint16_t apart; /**< 1: the last of an odd number of channels takes a call of the kernel of its own */
    uint16_t cols;      /**< columns of the window */
    uint16_t row_bytes; /**< of the window, from row to row */
    int32_t y_start;    /**< bytes to the first output */
    int32_t y_row;      /**< and from output row to output row, column to column, channel to channel */
    int32_t y_col;
    int32_t y_channel;
    tg_tile_fill_t fill; /**< tg_fill_*_dsp */
    tg_tile_fn_t tile;   /**< tg_tile_*_dsp of the same window */
} tg_slides_s8_cfg_t;

/**
 * y = clamp(out_zp + requant(b' + sum w * x)): taps outside the image read in_zp.
 *
 * @param x        [in_h][in_w][in_c]
 * @param w        streams of two channels: pack_tiles() of kernels/tile/pack.py
 * @param scratch  room for a window as bytes: k_h * cols * in_c
 * @param y        [out_h][out_w][out_c], or planes (tinygen/plan/planar.py); must not overlap x
 */
void tg_slides_s8_dsp(const tg_slides_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, int16_t *scratch, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_SLIDES_S8_DSP_H_INCLUDED */
