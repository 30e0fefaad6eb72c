/**
 * @file  tg_gru_s16.h
 * @brief One direction of a GRU, int16 with a state of int16.
 */
#ifndef TG_GRU_S16_H_INCLUDED
#define TG_GRU_S16_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t steps;
    uint32_t tail; /**< steps behind them that have no input: y is 0 there */
    uint32_t n_in;
    uint32_t n_hidden;
    uint32_t at;     /**< of this direction's first unit in h and each step of y */
    uint32_t x_at;   /**< of the first step in x, */
    uint32_t y_at;   /**< and in y */
    uint32_t y_step; /**< values from step to step of y; 0: only the last one stays */
    uint16_t reverse;
    uint16_t fresh;   /**< 1: h starts from 0, else it holds the state before the first step */
    uint16_t x_shift; /**< of the requantisation of sums, 1..62 */
    uint16_t h_shift;
    int16_t sum_lo; /**< clamp of sums */
    int16_t sum_hi;
    uint16_t f_up;    /**< sums are moved up so far into the table of the gates, */
    uint16_t g_up;    /**< and of the candidate */
    uint16_t f_shift; /**< of the slopes of tables */
    uint16_t g_shift;
    uint16_t r_down; /**< fraction bits of the reset gate, */
    uint16_t z_down; /**< and of the update gate */
    uint16_t before; /**< 1: the reset gate multiplies r * h (linear_before_reset), 0: h */
    uint16_t out_shift;
    int16_t out_m;
    int16_t out_lo; /**< clamp of y */
    int16_t out_hi;
} tg_gru_s16_cfg_t;

/**
 * Gates in the order z, r, n. h: the state before the first step on entry, after the last on return. What is multiplied
 * with weights, and y, is the state in int16: (h * out_m + 2^(out_shift-1)) >> out_shift, clamped. Reverse: steps are
 * taken from the last to the first.
 *
 * @param x        [steps][n_in]
 * @param w        [3][n_hidden][n_in]
 * @param r        [3][n_hidden][n_hidden]
 * @param b        [3][n_hidden] with the input zero point folded: bias - in_zp * sum of the row of w
 * @param bh       [n_hidden] bias of the last third of r, inside the reset; never read unless `before`
 * @param mx       [3][n_hidden] multipliers of the sums of w
 * @param mh       [3][n_hidden] multipliers of the sums of r
 * @param f        [256] table of the gates
 * @param g        [256] table of the candidate
 * @param scratch  [2][n_hidden] values of y, [3][n_hidden] unless `before`
 * @param y        [steps + tail][y_step], or the last step where y_step is 0
 * @param h        the state
 */
void tg_gru_s16(const tg_gru_s16_cfg_t *cfg, const int16_t *x, const int8_t *w, const int8_t *r, const int32_t *b,
                const int32_t *bh, const int32_t *mx, const int32_t *mh, const int32_t *f, const int32_t *g,
                int16_t *scratch, int16_t *y, int16_t *h);

#ifdef __cplusplus
}
#endif

#endif /* TG_GRU_S16_H_INCLUDED */
