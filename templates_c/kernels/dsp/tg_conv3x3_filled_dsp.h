/**
 * @file  tg_conv3x3_filled_dsp.h
 * @brief 3 x 3 convolution of stride 1 with numbers of channels that tg_conv3x3_wino_dsp does not take. DSP extension.
 */
#ifndef TG_CONV3X3_FILLED_DSP_H_INCLUDED
#define TG_CONV3X3_FILLED_DSP_H_INCLUDED

#include "tg_conv3x3_wino_dsp.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint16_t in_h;
    uint16_t in_w;
    uint16_t in_c;  /**< at least 4 */
    uint16_t out_h; /**< at least 4 */
    uint16_t out_w; /**< at least 4 */
    uint16_t out_c;
    uint16_t pad_top;
    uint16_t pad_left;
    tg_conv3x3_wino_cfg_t tile; /**< 6 x 6 pixels to 4 x 4, with the numbers of channels that the kernel takes */
} tg_conv3x3_filled_cfg_t;

/**
 * Same bits as tg_conv_s8. Every tile is copied with its channels filled up, goes through tg_conv3x3_wino_dsp, and is
 * copied to its place without those that are none.
 *
 * @param x        [in_h][in_w][in_c]
 * @param w        constants of tg_conv3x3_wino_dsp, whose weights of channels that are none are 0
 * @param m        likewise
 * @param scratch  36 * tile.in_c + 16 * tile.out_c bytes, word-aligned, and behind them what tg_conv3x3_wino_dsp takes
 * @param y        [out_h][out_w][out_c]; must not overlap x
 */
void tg_conv3x3_filled_dsp(const tg_conv3x3_filled_cfg_t *cfg, const int8_t *x, const int32_t *w, const int32_t *m,
                           int16_t *scratch, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_CONV3X3_FILLED_DSP_H_INCLUDED */
