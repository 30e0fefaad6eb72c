/**
 * @file  tg_patches_s8.h
 * @brief 2-D convolution, int8, one group, by a kernel for dense layers: each pixel's window is copied to a row.
 */
#ifndef TG_PATCHES_S8_H_INCLUDED
#define TG_PATCHES_S8_H_INCLUDED

#include "tg_dense_s8.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Pixels whose windows are copied at a time. */
#define TG_PATCHES 4

/** A kernel for dense layers, with constants in its own form. */
typedef void (*tg_dense_fn_t)(const tg_dense_s8_cfg_t *cfg, const int8_t *x, const int8_t *w, const int32_t *b,
                              const int32_t *m, int8_t *y);

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
    int16_t in_zp;
    int16_t out_zp;
    int16_t lo; /**< clamp, -128 <= lo <= hi <= 127 */
    int16_t hi;
    uint16_t shift;  /**< of the requantisation, 1..62 */
    int32_t y_start; /**< bytes to the first output */
    int32_t y_row;   /**< and from output row to output row, column to column, channel to channel */
    int32_t y_col;
    int32_t y_channel;
    tg_dense_fn_t dense;
} tg_patches_s8_cfg_t;

/**
 * y = clamp(out_zp + requant(b' + sum w * x)): taps outside the image read in_zp.
 *
 * @param x        [in_h][in_w][in_c]
 * @param w        weights [out_c][k_h * k_w * in_c], in the form of cfg->dense
 * @param b        [out_c] with the zero point folded
 * @param m        [out_c] multipliers
 * @param scratch  room for TG_PATCHES windows of bytes, or all when there are fewer: of k_h * k_w * in_c each; and
 *                 unless y_channel is 1, for as many pixels of out_c outputs
 * @param y        [out_h][out_w][out_c], or planes (tinygen/plan/planar.py); must not overlap x
 */
void tg_patches_s8(const tg_patches_s8_cfg_t *cfg, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *m,
                   int16_t *scratch, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_PATCHES_S8_H_INCLUDED */
