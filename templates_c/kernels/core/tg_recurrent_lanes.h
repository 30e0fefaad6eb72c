/**
 * @file  tg_recurrent_lanes.h
 * @brief LSTM and GRU for cores without SIMD: four units of one gate in the lanes of tg_dense_lanes.h.
 */
#ifndef TG_RECURRENT_LANES_H_INCLUDED
#define TG_RECURRENT_LANES_H_INCLUDED

#include <string.h>

#include "tg_dense_lanes.h"
#include "tg_gru_s8.h"
#include "tg_lstm_s8.h"
#include "tg_recurrent.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TG_LSTM_GATES 4
#define TG_GRU_GATES 3

/** W or R on their way through a step. Weights as tg_dense_s8_m0.h has them, up to TG_LANES_CHUNK inputs. */
typedef struct {
    const uint32_t *packed;
    int32_t n;       /**< inputs */
    uint32_t *words; /**< they, expanded */
    const int8_t *x;
    tg_lanes_t job;
    tg_rests_t rests;
    uint32_t block;
    int32_t words_in; /**< of a block */
} tg_lane_rows_t;

/** Words that n inputs take when they are expanded. */
static inline int32_t tg_lane_words(const int32_t *packed, int32_t n)
{
    return ((n + packed[0] - 1) / packed[0]) * (packed[0] + 2);
}

static inline void tg_lane_rows_init(tg_lane_rows_t *rows, const int32_t *packed, int32_t n, uint32_t *words)
{
    const int32_t taps = packed[0];
    const tg_lanes_t job = {words, NULL, NULL, taps, (uint32_t)(((16 - taps) / 2) * TG_LANES_PAIR), NULL};
    rows->packed = (const uint32_t *)(const void *)packed;
    rows->n = n;
    rows->words = words;
    rows->job = job;
    rows->words_in = (n + taps - 1) & -taps;
}

/** A step begins with these inputs. */
static inline void tg_lane_rows_step(tg_lane_rows_t *rows, const int8_t *x)
{
    rows->job.x_end = tg_lanes_expand(x, rows->n, rows->job.taps, rows->words);
    rows->x = x;
    rows->rests.next = &rows->packed[2];
    rows->rests.end = &rows->packed[2U + rows->packed[1]];
    rows->job.w = rows->rests.end;
    rows->block = 0U;
}

/** The next `blocks` of four rows: sums on top of what they start with. */
static TG_NOINLINE void tg_lane_rows_sums(tg_lane_rows_t *rows, const int32_t *start, int32_t blocks, uint32_t *sums)
{
    for (int32_t i = 0; i < blocks; ++i) {
        for (int32_t j = 0; j < 4; ++j) {
            sums[j] = (uint32_t)start[j];
        }
        tg_lanes_rests(&rows->rests, rows->block, rows->x, sums);
        rows->job.sum = sums;
        tg_lanes_block(&rows->job);
        rows->job.w += rows->words_in;
        ++rows->block;
        start += 4;
        sums += 4;
    }
}

/** What x, and what h bring to the sums of a layer's units, four at a time. */
typedef struct {
    tg_lane_rows_t x;
    tg_lane_rows_t h;
    const int32_t *bx; /**< [units / 4][gates][4], like the multipliers */
    const int32_t *bh;
    const int32_t *mx;
    const int32_t *mh;
} tg_lane_layer_t;

/** Its weights, and scratch for their inputs, expanded; what is left of scratch is returned. */
static inline int8_t *tg_lane_layer(tg_lane_layer_t *layer, const int32_t *w, int32_t n_in, const int32_t *r,
                                    int32_t units, int16_t *scratch)
{
    uint32_t *const of_x = (uint32_t *)(void *)scratch;
    uint32_t *const of_h = &of_x[tg_lane_words(w, n_in)];
    tg_lane_rows_init(&layer->x, w, n_in, of_x);
    tg_lane_rows_init(&layer->h, r, units, of_h);
    return (int8_t *)&of_h[tg_lane_words(r, units)];
}

/** An LSTM; see tg_lstm_s8_m0.h. */
static inline void tg_lstm_lanes(const tg_lstm_s8_cfg_t *cfg, const tg_lstm_t *k, tg_lane_layer_t *layer,
                                 const int8_t *x, int8_t *next, int8_t *y, int8_t *h, int32_t *c)
{
    const int32_t units = (int32_t)cfg->n_hidden;
    h += cfg->at;
    c += cfg->at;
    x += cfg->x_at;
    y += cfg->y_at + cfg->at;
    if (cfg->fresh != 0U) {
        (void)memset(h, 0, cfg->n_hidden);
        (void)memset(c, 0, cfg->n_hidden * sizeof(*c));
    }
    for (uint32_t step = 0U; step < cfg->steps; ++step) {
        const uint32_t time = (cfg->reverse != 0U) ? (cfg->steps - 1U - step) : step;
        tg_lane_rows_step(&layer->x, &x[time * cfg->n_in]);
        tg_lane_rows_step(&layer->h, h);
        for (int32_t u = 0; u < units; u += 4) {
            const int32_t at = u * TG_LSTM_GATES;
            uint32_t from_x[4 * TG_LSTM_GATES];
            uint32_t from_h[4 * TG_LSTM_GATES];
            tg_lane_rows_sums(&layer->x, &layer->bx[at], TG_LSTM_GATES, from_x);
            tg_lane_rows_sums(&layer->h, &layer->bh[at], TG_LSTM_GATES, from_h);
            for (int32_t j = 0; (j < 4) && ((u + j) < units); ++j) {
                int32_t p[TG_LSTM_GATES];
                for (int32_t gate = 0; gate < TG_LSTM_GATES; ++gate) {
                    const int32_t row = (4 * gate) + j;
                    p[gate] = tg_sat16(tg_sat16(tg_sum_out((int32_t)from_x[row], layer->mx[at + row], 24U)) +
                                       tg_sum_out((int32_t)from_h[row], layer->mh[at + row], 24U));
                }
                next[u + j] = (int8_t)tg_lstm_unit(k, u + j, p, &c[u + j]);
            }
        }
        (void)memcpy(h, next, cfg->n_hidden);
        (void)memcpy(&y[time * cfg->y_step], next, cfg->n_hidden);
    }
    for (uint32_t time = cfg->steps; time < (cfg->steps + cfg->tail); ++time) {
        (void)memset(&y[time * cfg->y_step], 0, cfg->n_hidden);
    }
}

/** A GRU; see tg_gru_s8_m0.h. */
static inline void tg_gru_lanes(const tg_gru_s8_cfg_t *cfg, const tg_gru_t *k, tg_lane_layer_t *layer,
                                const int8_t *x, int8_t *now, int8_t *y, int16_t *h)
{
    const int32_t units = (int32_t)cfg->n_hidden;
    h += cfg->at;
    x += cfg->x_at;
    y += cfg->y_at + cfg->at;
    if (cfg->fresh != 0U) {
        (void)memset(h, 0, cfg->n_hidden * sizeof(*h));
    }
    for (int32_t u = 0; u < units; ++u) {
        now[u] = (int8_t)tg_narrow_value(&k->out, h[u]);
    }
    for (uint32_t step = 0U; step < cfg->steps; ++step) {
        const uint32_t time = (cfg->reverse != 0U) ? (cfg->steps - 1U - step) : step;
        tg_lane_rows_step(&layer->x, &x[time * cfg->n_in]);
        tg_lane_rows_step(&layer->h, now);
        for (int32_t u = 0; u < units; u += 4) {
            const int32_t at = u * TG_GRU_GATES;
            uint32_t from_x[4 * TG_GRU_GATES];
            uint32_t from_h[4 * TG_GRU_GATES];
            tg_lane_rows_sums(&layer->x, &layer->bx[at], TG_GRU_GATES, from_x);
            tg_lane_rows_sums(&layer->h, &layer->bh[at], TG_GRU_GATES, from_h);
            for (int32_t j = 0; (j < 4) && ((u + j) < units); ++j) {
                int32_t px[TG_GRU_GATES];
                int32_t ph[TG_GRU_GATES];
                for (int32_t gate = 0; gate < TG_GRU_GATES; ++gate) {
                    const int32_t row = (4 * gate) + j;
                    px[gate] = tg_sat16(tg_sum_out((int32_t)from_x[row], layer->mx[at + row], 24U));
                    ph[gate] = tg_sum_out((int32_t)from_h[row], layer->mh[at + row], 24U);
                }
                ph[2] = tg_round_down(tg_gru_gate(k, px[1] + ph[1]) * tg_sat16(ph[2]), k->r_down);
                h[u + j] = (int16_t)tg_gru_unit(k, tg_gru_gate(k, px[0] + ph[0]), px[2] + ph[2], h[u + j]);
            }
        }
        /* the words of the step are expanded: what they were made of may go */
        for (int32_t u = 0; u < units; ++u) {
            now[u] = (int8_t)tg_narrow_value(&k->out, h[u]);
        }
        (void)memcpy(&y[time * cfg->y_step], now, cfg->n_hidden);
    }
    for (uint32_t time = cfg->steps; time < (cfg->steps + cfg->tail); ++time) {
        (void)memset(&y[time * cfg->y_step], 0, cfg->n_hidden);
    }
}

#ifdef __cplusplus
}
#endif

#endif /* TG_RECURRENT_LANES_H_INCLUDED */
