/**
 * @file  tg_attention_s16.h
 * @brief Attention of int16 queries, keys and values, fused by rows of queries (NUMERICS section 10).
 */
#ifndef TG_ATTENTION_S16_H_INCLUDED
#define TG_ATTENTION_S16_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t batch;
    uint32_t queries;
    uint32_t keys; /**< 1..4096 */
    uint32_t heads;
    uint32_t each; /**< heads that share keys and values */
    uint32_t d;    /**< values of a query and of a key */
    uint32_t dv;   /**< of a value */
    int32_t m;       /**< from sums to scores, in 512ths of an octave */
    uint32_t shift;  /**< 1..62 */
    uint32_t down;   /**< sums of q * k are shifted by so much first: least r with d <= 2^r */
    uint32_t coarse; /**< 0..2: scores are shifted left by so much where their exponential is taken */
    uint32_t causal; /**< 1: query i sees keys 0..i */
    uint32_t bias_head; /**< strides of the bias in elements; 0 repeats */
    uint32_t bias_row;
    uint32_t bias_key;
    uint32_t numerator_high; /**< what is divided by a row's sum gives the multiplier of its outputs */
    uint32_t numerator_low;
    uint32_t out_shift; /**< 1..62 */
    uint32_t wide; /**< 1: y is int16 and out_zp 0, 0: y is int8 */
    int32_t out_zp;
} tg_attention_s16_cfg_t;

/**
 * q: [batch][queries][heads][d], k: [batch][keys][heads / each][d], v: [batch][keys][heads / each][dv],
 * exp: [512], bias: of the scores, -32768 masks a key, y: [batch][queries][heads][dv], scratch: [keys] int16.
 * In place allowed where dv is d and y is int16: y == q.
 */
void tg_attention_s16(const tg_attention_s16_cfg_t *cfg, const int16_t *q, const int16_t *k, const int16_t *v,
                     const int16_t *exp, const int16_t *bias, void *scratch, void *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_ATTENTION_S16_H_INCLUDED */
