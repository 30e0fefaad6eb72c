/**
 * @file  tg_lstm_s16.h
 * @brief One direction of an LSTM, int16.
 */
#ifndef TG_LSTM_S16_H_INCLUDED
#define TG_LSTM_S16_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t steps;
    uint32_t tail; /**< steps behind them that have no input: y is 0 there */
    uint32_t n_in;
    uint32_t n_hidden;
    uint32_t at;     /**< of this direction's first unit in h, c and each step of y */
    uint32_t x_at;   /**< of the first step in x, */
    uint32_t y_at;   /**< and in y */
    uint32_t y_step; /**< values from step to step of y; 0: only the last one stays */
    uint16_t reverse;
    uint16_t fresh;   /**< 1: h and c start from 0, else they hold the state before the first step */
    uint16_t x_shift; /**< of the requantisation of sums, 1..62 */
    uint16_t h_shift;
    int16_t sum_lo; /**< clamp of sums */
    int16_t sum_hi;
    uint16_t f_up;    /**< sums are moved up so far into the table of the gates, */
    uint16_t g_up;    /**< and of the input */
    uint16_t f_shift; /**< of the slopes of tables */
    uint16_t g_shift;
    uint16_t t_shift;
    uint16_t c_up;
    uint16_t ig_down;
    uint16_t t_down;     /**< the cell is moved down so far into its table */
    uint16_t coupled;    /**< 1: the forget gate is 1 - the input gate */
    uint16_t peep_shift; /**< of the multipliers of peepholes; 0: there are none */
    uint16_t out_shift;
    int16_t out_m;
    int16_t out_lo; /**< clamp of h */
    int16_t out_hi;
} tg_lstm_s16_cfg_t;

/**
 * Gates in the order i, o, f, c. h and c: the state before the first step on entry, after the last on return; c has 24
 * bits. Reverse: steps are taken from the last to the first.
 *
 * @param x        [steps][n_in]
 * @param w        [4][n_hidden][n_in]
 * @param r        [4][n_hidden][n_hidden]
 * @param b        [4][n_hidden] with the input zero point folded: bias - in_zp * sum of the row of w
 * @param mx       [4][n_hidden] multipliers of the sums of w
 * @param mh       [4][n_hidden] multipliers of the sums of r
 * @param f        [256] table of the gates
 * @param g        [256] table of the input
 * @param t        [256] table of the cell
 * @param peep     [3][n_hidden] multipliers of the cell for i, o, f; never read where there are none
 * @param scratch  [n_hidden] values of h
 * @param y        [steps + tail][y_step], or the last step where y_step is 0
 * @param h        the state, zero point 0
 * @param c        the cells
 */
void tg_lstm_s16(const tg_lstm_s16_cfg_t *cfg, const int16_t *x, const int8_t *w, const int8_t *r, const int32_t *b,
                 const int32_t *mx, const int32_t *mh, const int32_t *f, const int32_t *g, const int32_t *t,
                 const int32_t *peep, int16_t *scratch, int16_t *y, int16_t *h, int32_t *c);

#ifdef __cplusplus
}
#endif

#endif /* TG_LSTM_S16_H_INCLUDED */
