/**
 * @file  tg_rowchannel_s8_dsp.h
 * @brief Depthwise 2-D convolution, int8, one input channel after the other, by rows of tiles. DSP extension.
 */
#ifndef TG_ROWCHANNEL_S8_DSP_H_INCLUDED
#define TG_ROWCHANNEL_S8_DSP_H_INCLUDED

#include "tg_rows_s8_dsp.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint16_t in_c;
    uint16_t words;        /**< constants of an input channel */
    tg_rows_s8_cfg_t rows; /**< the convolution of one input channel, which writes among all output channels */
} tg_rowchannel_s8_cfg_t;

/**
 * Output channel c reads input channel c / rows.out_c. Each channel is copied into an image of its own.
 *
 * @param x        [in_h][in_w][in_c]
 * @param w        constants of tg_rows_s8_dsp for one input channel after the other
 * @param scratch  in_h * in_w bytes, a whole number of words, and behind them what tg_rows_s8_dsp takes
 * @param y        [out_h][out_w][out_c]; must not overlap x
 */
void tg_rowchannel_s8_dsp(const tg_rowchannel_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, int16_t *scratch,
                          int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_ROWCHANNEL_S8_DSP_H_INCLUDED */
