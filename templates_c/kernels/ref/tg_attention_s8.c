#include "tg_attention_s8.h"

#include "tg_attention.h"
#include "tg_divide.h"

/** Scores of one query and one head with the keys it sees. `step`: from key to key. */
static void tg_attention_s8_scores(const tg_attention_s8_cfg_t *c, uint32_t n, const int8_t *q, const int8_t *k,
                                   uint32_t step, const int16_t *bias, int16_t *scores)
{
    for (uint32_t j = 0U; j < n; ++j) {
        int32_t acc = 0;
        for (uint32_t i = 0U; i < c->d; ++i) {
            acc += (q[i] - c->q_zp) * (k[i] - c->k_zp);
        }
        scores[j] = tg_score(tg_requant(acc, c->m, c->shift), *bias);
        k += step;
        bias += c->bias_key;
    }
}

TG_SHARED void tg_attention_s8(const tg_attention_s8_cfg_t *cfg, const int8_t *q, const int8_t *k, const int8_t *v,
                               const int16_t *exp, const int16_t *bias, void *scratch, int8_t *y)
{
    const tg_attention_s8_cfg_t c = *cfg; /* a copy: y may alias anything as far as the compiler knows */
    const uint64_t numerator = ((uint64_t)c.numerator_high << 32) | c.numerator_low;
    const uint32_t k_step = (c.heads / c.each) * c.d;
    const uint32_t v_step = (c.heads / c.each) * c.dv;
    int16_t *scores = (int16_t *)scratch;
    for (uint32_t row = 0U; row < (c.batch * c.queries); ++row) {
        const uint32_t i = row % c.queries;
        const uint32_t first = (row / c.queries) * c.keys; /* row of k and v */
        const uint32_t n = ((c.causal != 0U) && (i < c.keys)) ? (i + 1U) : c.keys;
        for (uint32_t h = 0U; h < c.heads; ++h) {
            const int8_t *keys = &k[(first * k_step) + ((h / c.each) * c.d)];
            const int8_t *values = &v[(first * v_step) + ((h / c.each) * c.dv)];
            const int16_t *b = &bias[(h * c.bias_head) + (i * c.bias_row)];
            uint32_t sum;
            int32_t m;
            tg_attention_s8_scores(&c, n, &q[((row * c.heads) + h) * c.d], keys, k_step, b, scores);
            sum = tg_scores_exp(scores, n, exp, c.coarse);
            m = (int32_t)tg_divide(numerator, sum);
            for (uint32_t o = 0U; o < c.dv; ++o) {
                int32_t acc = 0; /* |v - v_zp| <= 255 and sum < 2^23 */
                for (uint32_t j = 0U; j < n; ++j) {
                    acc += scores[j] * (values[(j * v_step) + o] - c.v_zp);
                }
                y[(((row * c.heads) + h) * c.dv) + o] = tg_requant_clamp(acc, m, c.out_shift, c.out_zp, -128, 127);
            }
        }
    }
}
