#include "tg_attention_s16.h"

#include "tg_attention.h"
#include "tg_divide.h"

/** Scores of one query and one head with the keys it sees. `step`: from key to key. */
static void tg_attention_s16_scores(const tg_attention_s16_cfg_t *c, uint32_t n, const int16_t *q, const int16_t *k,
                                   uint32_t step, const int16_t *bias, int16_t *scores)
{
    for (uint32_t j = 0U; j < n; ++j) {
        int64_t acc = 0; /* each product at most 2^30 */
        for (uint32_t i = 0U; i < c->d; ++i) {
            acc += q[i] * k[i];
        }
        scores[j] = tg_score(tg_requant((int32_t)(acc >> c->down), c->m, c->shift), *bias);
        k += step;
        bias += c->bias_key;
    }
}

TG_SHARED void tg_attention_s16(const tg_attention_s16_cfg_t *cfg, const int16_t *q, const int16_t *k, const int16_t *v,
                               const int16_t *exp, const int16_t *bias, void *scratch, void *y)
{
    const tg_attention_s16_cfg_t c = *cfg; /* a copy: y may alias anything as far as the compiler knows */
    const uint64_t numerator = ((uint64_t)c.numerator_high << 32) | c.numerator_low;
    const uint32_t k_step = (c.heads / c.each) * c.d;
    const uint32_t v_step = (c.heads / c.each) * c.dv;
    int16_t *scores = (int16_t *)scratch;
    for (uint32_t row = 0U; row < (c.batch * c.queries); ++row) {
        const uint32_t i = row % c.queries;
        const uint32_t first = (row / c.queries) * c.keys; /* row of k and v */
        const uint32_t n = ((c.causal != 0U) && (i < c.keys)) ? (i + 1U) : c.keys;
        for (uint32_t h = 0U; h < c.heads; ++h) {
            const int16_t *keys = &k[(first * k_step) + ((h / c.each) * c.d)];
            const int16_t *values = &v[(first * v_step) + ((h / c.each) * c.dv)];
            const int16_t *b = &bias[(h * c.bias_head) + (i * c.bias_row)];
            const uint32_t at = ((row * c.heads) + h) * c.dv;
            uint32_t sum;
            int32_t m;
            tg_attention_s16_scores(&c, n, &q[((row * c.heads) + h) * c.d], keys, k_step, b, scores);
            sum = tg_scores_exp(scores, n, exp, c.coarse);
            m = (int32_t)tg_divide(numerator, sum);
            for (uint32_t o = 0U; o < c.dv; ++o) {
                int64_t acc = 0; /* |v| <= 2^15 and sum < 2^23 */
                int32_t out;
                for (uint32_t j = 0U; j < n; ++j) {
                    acc += scores[j] * values[(j * v_step) + o];
                }
                out = c.out_zp + tg_requant((int32_t)(acc >> 7), m, c.out_shift);
                if (c.wide != 0U) {
                    ((int16_t *)y)[at + o] = (int16_t)tg_clamp(out, -32768, 32767);
                } else {
                    ((int8_t *)y)[at + o] = (int8_t)tg_clamp(out, -128, 127);
                }
            }
        }
    }
}
