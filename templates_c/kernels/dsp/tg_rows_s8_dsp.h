/**
 * @file  tg_rows_s8_dsp.h
 * @brief 2-D convolution by rows of tiles, with a kernel made for the layer. DSP extension.
 */
#ifndef TG_ROWS_S8_DSP_H_INCLUDED
#define TG_ROWS_S8_DSP_H_INCLUDED

#include "tg_row_dsp.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint16_t in_h;
    uint16_t in_w;
    uint16_t in_c;
    uint16_t out_h;
    uint16_t out_w; /**< at least 4 */
    uint16_t out_c;
    uint16_t k_h;
    uint16_t k_w;
    uint16_t stride_h;
    uint16_t stride_w;
    uint16_t dil_h;
    uint16_t pad_top;
    uint16_t pad_left;
    int16_t in_zp;
    int16_t out_zp;
    int16_t lo; /**< clamp, -128 <= lo <= hi <= 127; narrower than that only where the output is dense */
    int16_t hi;
    uint16_t shift;   /**< of the requantisation, 33..54: a shorter one is in the kernel and its constants */
    uint16_t walked;  /**< pairs of channels that the kernel's loop goes through: all, or all but those behind it */
    uint16_t words;   /**< of the stream for two channels */
    uint16_t high;    /**< output rows of a tile: 1, or 2 (2 x 2 pixels), only where no window leaves the image */
    uint16_t image_h; /**< size of a copy of the image in scratch, with its borders; 0: none, and windows at the */
    uint16_t image_w; /**< border are copied */
    uint16_t flat;    /**< 1: the pixels of all rows follow each other evenly, in the input and in the output */
    int32_t y_start;  /**< bytes to the first output */
    int32_t y_row;    /**< and from output row to output row, column to column */
    int32_t y_col;
    tg_row_fn_t row; /**< tg_row_*_dsp */
} tg_rows_s8_cfg_t;

/**
 * y = clamp(out_zp + requant(b' + sum w * x)): taps outside the image read in_zp.
 *
 * @param x        [in_h][in_w][in_c]
 * @param w        streams of two channels: pack_tiles() of kernels/tile/pack.py
 * @param scratch  the copy of the image, or room for the windows of four pixels at the border, as far apart as in it
 * @param y        [out_h][out_w][out_c], or planes (tinygen/plan/planar.py); must not overlap x
 */
void tg_rows_s8_dsp(const tg_rows_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, int16_t *scratch, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_ROWS_S8_DSP_H_INCLUDED */
