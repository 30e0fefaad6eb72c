/**
 * @file  tg_attention.h
 * @brief From scores to exponentials (docs/NUMERICS.md section 10).
 */
#ifndef TG_ATTENTION_H_INCLUDED
#define TG_ATTENTION_H_INCLUDED

#include "tg_numerics.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Scores lie in TG_SCORE_LEAST..32767; a masked one so far below that its exponential is 0. */
#define TG_SCORE_LEAST (-24576)
#define TG_SCORE_MASKED (-32768)

/** A score with its bias. */
static inline int16_t tg_score(int32_t score, int32_t bias)
{
    const int32_t s = tg_clamp(tg_clamp(score, -32768, 32767) + bias, TG_SCORE_LEAST, 32767);
    return (int16_t)((bias == TG_SCORE_MASKED) ? TG_SCORE_MASKED : s);
}

/** Scores become exponentials of their distance to the largest of them; returns their sum, below 2^23. */
static inline uint32_t tg_scores_exp(int16_t *scores, uint32_t n, const int16_t *exp, uint32_t coarse)
{
    int32_t top = scores[0];
    uint32_t sum = 0U;
    for (uint32_t j = 1U; j < n; ++j) {
        top = (scores[j] > top) ? scores[j] : top;
    }
    for (uint32_t j = 0U; j < n; ++j) {
        uint32_t d = (uint32_t)(top - scores[j]) << coarse; /* below 2^18 */
        d = (d < 8191U) ? d : 8191U;
        d = (uint32_t)exp[d & 511U] >> (d >> 9);
        scores[j] = (int16_t)d;
        sum += d;
    }
    return sum;
}

#ifdef __cplusplus
}
#endif

#endif /* TG_ATTENTION_H_INCLUDED */
