/**
 * @file  tg_gru_s8_m3.h
 * @brief tg_gru_s8.h for the Cortex-M3: the reset gate multiplies r * h.
 */
#ifndef TG_GRU_S8_M3_H_INCLUDED
#define TG_GRU_S8_M3_H_INCLUDED

#include "tg_gru_s8.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Rows of W and R come in blocks of four units of one gate, all gates of four units one after the other; rows of units
 * that are none are 0. Biases and multipliers come in the same order.
 *
 * @param x        [steps][n_in]
 * @param w        W as tg_dense_s8_m3.h has weights, and R, up to 128 inputs each
 * @param r        R
 * @param bx       what the sums of W start with: as b of tg_dense_s8_m3.h
 * @param bh       and those of R
 * @param mx       multipliers of the sums of W
 * @param mh       and of R
 * @param f        [256] table of the gates
 * @param g        [256] table of the candidate
 * @param scratch  the inputs of W and of R, expanded, and n_hidden bytes
 * @param y        [steps + tail][y_step], or the last step where y_step is 0
 * @param h        the state
 */
void tg_gru_s8_m3(const tg_gru_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, const int32_t *r, const int32_t *bx,
                   const int32_t *bh, const int32_t *mx, const int32_t *mh, const int32_t *f, const int32_t *g,
                   int16_t *scratch, int8_t *y, int16_t *h);

#ifdef __cplusplus
}
#endif

#endif /* TG_GRU_S8_M3_H_INCLUDED */
