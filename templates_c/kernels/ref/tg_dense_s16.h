/**
 * @file  tg_dense_s16.h
 * @brief Fully connected layer, int16 inputs.
 */
#ifndef TG_DENSE_S16_H_INCLUDED
#define TG_DENSE_S16_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t rows;
    uint32_t n_in;
    uint32_t n_out;
    int16_t out_zp;
    int16_t lo; /**< clamp, lo <= hi, in the range of y */
    int16_t hi;
    uint16_t shift; /**< of the requantisation, 1..62 */
    uint16_t wide;  /**< 1: y is int16, 0: y is int8 */
} tg_dense_s16_cfg_t;

/**
 * y[r][o] = clamp(out_zp + requant(b[o] + sum w[o][i] * x[r][i])).
 *
 * @param x  [rows][n_in]
 * @param w  [n_out][n_in]
 * @param b  [n_out] biases
 * @param m  [n_out] multipliers
 * @param y  [rows][n_out], of int16 or int8; must not overlap x
 */
void tg_dense_s16(const tg_dense_s16_cfg_t *cfg, const int16_t *x, const int8_t *w, const int32_t *b, const int32_t *m,
                  void *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_DENSE_S16_H_INCLUDED */
