/**
 * @file  tg_dense_s8_mve.h
 * @brief Fully connected layer, int8, for cores with Helium. Same bits as tg_dense_s8.
 */
#ifndef TG_DENSE_S8_MVE_H_INCLUDED
#define TG_DENSE_S8_MVE_H_INCLUDED

#include "tg_dense_s8.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Limit: 32 <= shift <= 62. Constants are packed by kernels/mve/pack.py, pack_dense_mve().
 *
 * @param x  [rows][n_in]
 * @param w  a record for every four outputs, filled up with zeros: four biases with the zero point folded, four
 *           multipliers; 16 weights of each output in turn, the last n_in % 16 (16 if 0) first and filled up with zeros
 * @param y  [rows][n_out]; must not overlap x
 */
void tg_dense_s8_mve(const tg_dense_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_DENSE_S8_MVE_H_INCLUDED */
