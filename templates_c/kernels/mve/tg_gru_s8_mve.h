/**
 * @file  tg_gru_s8_mve.h
 * @brief tg_gru_s8.h for Helium: without clip, the reset gate multiplies r * h.
 */
#ifndef TG_GRU_S8_MVE_H_INCLUDED
#define TG_GRU_S8_MVE_H_INCLUDED

#include "tg_gru_s8.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * @param x        [steps][n_in]
 * @param w        see tg_recurrent_mve.h; made by kernels/mve/pack.py
 * @param f        [256] table of the gates
 * @param g        [256] table of the candidate
 * @param scratch  [4] words for each unit, four at a time; two windows
 * @param y        [steps + tail][y_step], or the last step where y_step is 0
 * @param h        the state
 */
void tg_gru_s8_mve(const tg_gru_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, const int32_t *f,
                   const int32_t *g, int16_t *scratch, int8_t *y, int16_t *h);

#ifdef __cplusplus
}
#endif

#endif /* TG_GRU_S8_MVE_H_INCLUDED */
