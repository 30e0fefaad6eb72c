/**
 * @file  tg_dense_s8.h
 * @brief Fully connected layer, int8.
 */
#ifndef TG_DENSE_S8_H_INCLUDED
#define TG_DENSE_S8_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t rows;
    uint32_t n_in;
    uint32_t n_out;
    int16_t out_zp;
    int16_t lo; /**< clamp, -128 <= lo <= hi <= 127 */
    int16_t hi;
    uint16_t shift; /**< of the requantisation, 1..62 */
} tg_dense_s8_cfg_t;

/**
 * y[r][o] = clamp(out_zp + requant(b'[o] + sum w[o][i] * x[r][i])).
 *
 * @param x  [rows][n_in]
 * @param w  [n_out][n_in]
 * @param b  [n_out] with the input zero point folded: bias - in_zp * sum of the row's weights
 * @param m  [n_out] multipliers
 * @param y  [rows][n_out]; must not overlap x
 */
void tg_dense_s8(const tg_dense_s8_cfg_t *cfg, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *m,
                 int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_DENSE_S8_H_INCLUDED */
