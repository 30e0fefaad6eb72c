#include "tg_attention_s16_dsp.h"

#include "tg_attention.h"
#include "tg_divide.h"
#include "tg_isa_dsp.h"

/**
 * Sums of the products of a row of n values with `count` columns, `step` values from one to the next. `sums` has room
 * for an even number.
 */
static TG_NOINLINE void tg_dots_s16(const int16_t *row, const int16_t *columns, uint32_t step, uint32_t count,
                                    uint32_t n, uint32_t down, int32_t *sums)
{
    for (uint32_t i = 0U; i < count; i += 2U) {
        const int16_t *p = row;
        const int16_t *a = columns;
        const int16_t *b = ((i + 1U) < count) ? &columns[step] : columns;
        int64_t first = 0; /* each product at most 2^30 */
        int64_t second = 0;
        for (const int16_t *end = &row[n & ~3U]; p != end; p += 4) {
            const uint32_t p0 = tg_load32(p);
            const uint32_t p1 = tg_load32(&p[2]);
            const uint32_t a0 = tg_load32(a);
            const uint32_t a1 = tg_load32(&a[2]);
            const uint32_t b0 = tg_load32(b);
            const uint32_t b1 = tg_load32(&b[2]);
            TG_STAY();
            first = tg_smlald(p0, a0, first);
            second = tg_smlald(p0, b0, second);
            first = tg_smlald(p1, a1, first);
            second = tg_smlald(p1, b1, second);
            a += 4;
            b += 4;
        }
        for (const int16_t *end = &row[n]; p != end; ++p) {
            first += *p * *a;
            second += *p * *b;
            ++a;
            ++b;
        }
        sums[i] = (int32_t)(first >> down);
        sums[i + 1U] = (int32_t)(second >> down);
        columns = &columns[2U * step];
    }
}

/** The values of a head channel by channel: [dv][keys], each row of an even number, 0 behind the last key. */
static void tg_turn_values(const tg_attention_s16_cfg_t *c, const int16_t *v, int16_t *out)
{
    const uint32_t step = (c->heads / c->each) * c->dv;
    for (uint32_t o = 0U; o < c->dv; ++o) {
        for (uint32_t j = 0U; j < c->keys; ++j) {
            *out = v[(j * step) + o];
            ++out;
        }
        if ((c->keys % 2U) != 0U) {
            *out = 0;
            ++out;
        }
    }
}

/** One query of one head, which sees n keys. `values` are turned; `e` and `sums` are scratch. */
static TG_NOINLINE void tg_query(const tg_attention_s16_cfg_t *c, uint32_t n, const int16_t *q, const int16_t *k,
                                 const int16_t *values, const int16_t *exp, const int16_t *bias, int16_t *e,
                                 int32_t *sums, int16_t *wide, int8_t *narrow)
{
    int32_t m;
    tg_dots_s16(q, k, (c->heads / c->each) * c->d, n, c->d, c->down, sums);
    for (uint32_t j = 0U; j < n; ++j) {
        e[j] = tg_score(tg_requant(sums[j], c->m, c->shift), *bias);
        bias += c->bias_key;
    }
    m = (int32_t)tg_divide_word(c->numerator_high, c->numerator_low, tg_scores_exp(e, n, exp, c->coarse));
    e[n] = 0; /* behind an odd number of keys, one more */
    tg_dots_s16(e, values, (c->keys + 1U) & ~1U, c->dv, (n + 1U) & ~1U, 7U, sums);
    for (uint32_t o = 0U; o < c->dv; ++o) {
        const int32_t out = c->out_zp + tg_requant(sums[o], m, c->out_shift);
        if (c->wide != 0U) {
            wide[o] = (int16_t)tg_ssat16(out);
        } else {
            narrow[o] = (int8_t)tg_ssat8(out);
        }
    }
}

TG_SHARED void tg_attention_s16_dsp(const tg_attention_s16_cfg_t *cfg, const int16_t *q, const int16_t *k,
                                    const int16_t *v, const int16_t *exp, const int16_t *bias, void *scratch, void *y)
{
    const tg_attention_s16_cfg_t c = *cfg; /* a copy: y may alias anything as far as the compiler knows */
    const uint32_t even = (c.keys + 1U) & ~1U;
    const uint32_t most = (((c.keys > c.dv) ? c.keys : c.dv) + 1U) & ~1U;
    int32_t *sums = (int32_t *)scratch;
    int16_t *e = (int16_t *)&sums[most];
    int16_t *values = &e[even + 2U];
    for (uint32_t b = 0U; b < c.batch; ++b) {
        for (uint32_t h = 0U; h < c.heads; ++h) {
            const uint32_t first = (b * c.keys * (c.heads / c.each)) + (h / c.each); /* row of k and v */
            if ((h % c.each) == 0U) {
                tg_turn_values(&c, &v[first * c.dv], values);
            }
            for (uint32_t i = 0U; i < c.queries; ++i) {
                const uint32_t row = (((b * c.queries) + i) * c.heads) + h;
                const uint32_t n = ((c.causal != 0U) && (i < c.keys)) ? (i + 1U) : c.keys;
                tg_query(&c, n, &q[row * c.d], &k[first * c.d], values, exp,
                         &bias[(h * c.bias_head) + (i * c.bias_row)], e, sums, &((int16_t *)y)[row * c.dv],
                         &((int8_t *)y)[row * c.dv]);
            }
        }
    }
}
