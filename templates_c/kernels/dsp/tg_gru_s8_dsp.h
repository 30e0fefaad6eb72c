/**
 * @file  tg_gru_s8_dsp.h
 * @brief tg_gru_s8.h for cores with the DSP extension: without clip, the reset gate multiplies r * h.
 */
#ifndef TG_GRU_S8_DSP_H_INCLUDED
#define TG_GRU_S8_DSP_H_INCLUDED

#include "tg_recurrent_dsp.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t steps;
    uint32_t tail; /**< to y_step: as in tg_gru_s8.h */
    uint32_t n_in;
    uint32_t n_hidden;
    uint32_t at;
    uint32_t x_at;
    uint32_t y_at;
    uint32_t y_step;
    uint16_t reverse;
    uint16_t fresh;
    uint32_t words;       /**< of the stream */
    uint32_t input_words; /**< of them in front, for `inputs` */
    uint32_t px_words;    /**< what x brings to a step; 0: `step` reads x itself */
    uint16_t x_bytes;     /**< of x and of h in the window */
    uint16_t h_bytes;
    int16_t out_m;
    uint16_t out_shift;
    tg_gru_step_fn_t step;
    tg_inputs_step_fn_t inputs; /**< of two steps at once, or none */
} tg_gru_s8_dsp_cfg_t;

/**
 * @param x        [steps][n_in]
 * @param w        see tg_recurrent_dsp.h; made by kernels/recurrent/pack.py
 * @param f        [256] table of the gates
 * @param g        [256] table of the candidate
 * @param scratch  words: two windows, or x of two steps, two of h and two times px_words; behind them, where n_hidden
 *                 is odd, n_hidden + 1 halves of the state and as many bytes, up to a word
 * @param y        [steps + tail][y_step], or the last step where y_step is 0
 * @param h        the state
 */
void tg_gru_s8_dsp(const tg_gru_s8_dsp_cfg_t *cfg, const int8_t *x, const int32_t *w, const int32_t *f,
                   const int32_t *g, int16_t *scratch, int8_t *y, int16_t *h);

#ifdef __cplusplus
}
#endif

#endif /* TG_GRU_S8_DSP_H_INCLUDED */
