/**
 * @file  tg_lstm_s8_mve.h
 * @brief tg_lstm_s8.h for Helium: without clip, peepholes and coupled gates.
 */
#ifndef TG_LSTM_S8_MVE_H_INCLUDED
#define TG_LSTM_S8_MVE_H_INCLUDED

#include "tg_lstm_s8.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * @param x        [steps][n_in]
 * @param w        see tg_recurrent_mve.h; made by kernels/mve/pack.py
 * @param f        [256] table of the gates
 * @param g        [256] table of the input
 * @param t        [256] table of the cell
 * @param scratch  [4] words for each unit, four at a time; two windows
 * @param y        [steps + tail][y_step], or the last step where y_step is 0
 * @param h        the state, zero point 0
 * @param c        the cells
 */
void tg_lstm_s8_mve(const tg_lstm_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, const int32_t *f,
                    const int32_t *g, const int32_t *t, int16_t *scratch, int8_t *y, int8_t *h, int32_t *c);

#ifdef __cplusplus
}
#endif

#endif /* TG_LSTM_S8_MVE_H_INCLUDED */
