#include "tg_attention_s8_dsp.h"

#include "tg_attention.h"
#include "tg_divide.h"
#include "tg_isa_dsp.h"

/* Two rows of queries at a time, four keys or four channels of values: eight sums of pairs. Operands of all products
 * lie in the order in which they are read: a word of each row, a word of each of four columns. */

/** From eight sums to eight integers: (sum * m >> 32, plus `round`) >> shift. */
typedef struct {
    int32_t m[2]; /**< of each row */
    int32_t round;
    int32_t shift;
} tg_end_t;

#if TG_DSP_NAKED

/* the assembly reads the parameters */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Woverlength-strings"

/* One word of both rows (r2, r3) and of four columns (r4, r5, twice); sums of row 0 are r6..r9, of row 1 r10..lr. */
#define TG_PAIR(a, b)                                                                                                  \
    "ldr r2, [r0, #" a "]\n"                                                                                           \
    "ldr r3, [r0, #" a " + 4]\n"                                                                                       \
    "ldr r4, [r1, #" b "]\n"                                                                                           \
    "ldr r5, [r1, #" b " + 4]\n"                                                                                       \
    "smlad r6, r2, r4, r6\n"                                                                                           \
    "smlad r10, r3, r4, r10\n"                                                                                         \
    "smlad r7, r2, r5, r7\n"                                                                                           \
    "smlad r11, r3, r5, r11\n"                                                                                         \
    "ldr r4, [r1, #" b " + 8]\n"                                                                                       \
    "ldr r5, [r1, #" b " + 12]\n"                                                                                      \
    "smlad r8, r2, r4, r8\n"                                                                                           \
    "smlad r12, r3, r4, r12\n"                                                                                         \
    "smlad r9, r2, r5, r9\n"                                                                                           \
    "smlad lr, r3, r5, lr\n"

/* r0: rows, r1: columns, r2: words. Four words a round, the rest one by one. r3: end, parked in s1; words in s0. */
#define TG_SUMS                                                                                                        \
    "vmov s1, r3\n"                                                                                                    \
    "movs r6, #0\n"                                                                                                    \
    "movs r7, #0\n"                                                                                                    \
    "mov r8, r6\n"                                                                                                     \
    "mov r9, r6\n"                                                                                                     \
    "mov r10, r6\n"                                                                                                    \
    "mov r11, r6\n"                                                                                                    \
    "mov r12, r6\n"                                                                                                    \
    "mov lr, r6\n"                                                                                                     \
    "subs r2, #4\n"                                                                                                    \
    "blt 2f\n"                                                                                                         \
    "1:\n"                                                                                                             \
    "vmov s0, r2\n" TG_PAIR("0", "0") TG_PAIR("8", "16") TG_PAIR("16", "32") TG_PAIR("24", "48")                       \
    "vmov r2, s0\n"                                                                                                    \
    "adds r0, #32\n"                                                                                                   \
    "adds r1, #64\n"                                                                                                   \
    "subs r2, #4\n"                                                                                                    \
    "bge 1b\n"                                                                                                         \
    "2:\n"                                                                                                             \
    "adds r2, #4\n"                                                                                                    \
    "beq 4f\n"                                                                                                         \
    "3:\n"                                                                                                             \
    "vmov s0, r2\n" TG_PAIR("0", "0")                                                                                  \
    "vmov r2, s0\n"                                                                                                    \
    "adds r0, #8\n"                                                                                                    \
    "adds r1, #16\n"                                                                                                   \
    "subs r2, #1\n"                                                                                                    \
    "bne 3b\n"                                                                                                         \
    "4:\n"                                                                                                             \
    "vmov r0, s1\n"                                                                                                    \
    "ldrd r2, r3, [r0]\n"                                                                                              \
    "ldrd r4, r5, [r0, #8]\n"                                                                                          \
    "smmla r6, r6, r2, r4\n"                                                                                           \
    "smmla r7, r7, r2, r4\n"                                                                                           \
    "smmla r8, r8, r2, r4\n"                                                                                           \
    "smmla r9, r9, r2, r4\n"                                                                                           \
    "smmla r10, r10, r3, r4\n"                                                                                         \
    "smmla r11, r11, r3, r4\n"                                                                                         \
    "smmla r12, r12, r3, r4\n"                                                                                         \
    "smmla lr, lr, r3, r4\n"                                                                                           \
    "asrs r6, r5\n"                                                                                                    \
    "asrs r7, r5\n"                                                                                                    \
    "asr r8, r8, r5\n"                                                                                                 \
    "asr r9, r9, r5\n"                                                                                                 \
    "asr r10, r10, r5\n"                                                                                               \
    "asr r11, r11, r5\n"                                                                                               \
    "asr r12, r12, r5\n"                                                                                               \
    "asr lr, lr, r5\n"

/** Scores of two queries with four keys: pairs of keys, for each pair a word of each query. Returns their end. */
static TG_NOINLINE TG_NAKED uint32_t *tg_tile_scores(const uint32_t *rows, const uint32_t *columns, int32_t words,
                                                     const tg_end_t *end, uint32_t *scores)
{
    __asm__ volatile(".syntax unified\n"
                     "push {r4-r11, lr}\n" TG_SUMS "ldr r0, [sp, #36]\n"
                     "ssat r6, #16, r6\n"
                     "ssat r7, #16, r7\n"
                     "ssat r8, #16, r8\n"
                     "ssat r9, #16, r9\n"
                     "ssat r10, #16, r10\n"
                     "ssat r11, #16, r11\n"
                     "ssat r12, #16, r12\n"
                     "ssat lr, #16, lr\n"
                     "pkhbt r2, r6, r7, lsl #16\n"
                     "pkhbt r3, r10, r11, lsl #16\n"
                     "pkhbt r4, r8, r9, lsl #16\n"
                     "pkhbt r5, r12, lr, lsl #16\n"
                     "stmia r0!, {r2-r5}\n"
                     "pop {r4-r11, pc}\n");
}

/** Outputs of two queries, four channels: a word for each. `y1` may be `y0`. */
static TG_NOINLINE TG_NAKED void tg_tile_outputs(const uint32_t *rows, const uint32_t *columns, int32_t words,
                                                 const tg_end_t *end, int8_t *y0, int8_t *y1)
{
    __asm__ volatile(".syntax unified\n"
                     "push {r4-r11, lr}\n" TG_SUMS "ldrd r0, r1, [sp, #36]\n"
                     "ssat r6, #8, r6\n"
                     "ssat r7, #8, r7\n"
                     "ssat r8, #8, r8\n"
                     "ssat r9, #8, r9\n"
                     "ssat r10, #8, r10\n"
                     "ssat r11, #8, r11\n"
                     "ssat r12, #8, r12\n"
                     "ssat lr, #8, lr\n"
                     "strb r10, [r1]\n"
                     "strb r11, [r1, #1]\n"
                     "strb r12, [r1, #2]\n"
                     "strb lr, [r1, #3]\n"
                     "strb r6, [r0]\n"
                     "strb r7, [r0, #1]\n"
                     "strb r8, [r0, #2]\n"
                     "strb r9, [r0, #3]\n"
                     "pop {r4-r11, pc}\n");
}

#pragma GCC diagnostic pop

#else

/** The eight integers: row by row. */
static void tg_tile(const uint32_t *rows, const uint32_t *columns, int32_t words, const tg_end_t *end, int32_t out[8])
{
    for (uint32_t i = 0U; i < 8U; ++i) {
        int32_t acc = 0;
        for (int32_t w = 0; w < words; ++w) {
            acc = tg_smlad(rows[(2 * w) + (int32_t)(i / 4U)], columns[(4 * w) + (int32_t)(i % 4U)], acc);
        }
        out[i] = tg_smmla(acc, end->m[i / 4U], end->round) >> end->shift;
    }
}

static uint32_t *tg_tile_scores(const uint32_t *rows, const uint32_t *columns, int32_t words, const tg_end_t *end,
                                uint32_t *scores)
{
    int32_t s[8];
    tg_tile(rows, columns, words, end, s);
    for (uint32_t i = 0U; i < 8U; ++i) {
        s[i] = tg_ssat16(s[i]);
    }
    scores[0] = tg_pkhbt((uint32_t)s[0], (uint32_t)s[1]);
    scores[1] = tg_pkhbt((uint32_t)s[4], (uint32_t)s[5]);
    scores[2] = tg_pkhbt((uint32_t)s[2], (uint32_t)s[3]);
    scores[3] = tg_pkhbt((uint32_t)s[6], (uint32_t)s[7]);
    return &scores[4];
}

static void tg_tile_outputs(const uint32_t *rows, const uint32_t *columns, int32_t words, const tg_end_t *end,
                            int8_t *y0, int8_t *y1)
{
    int32_t s[8];
    tg_tile(rows, columns, words, end, s);
    for (uint32_t i = 0U; i < 4U; ++i) {
        y1[i] = (int8_t)tg_ssat8(s[4U + i]);
        y0[i] = (int8_t)tg_ssat8(s[i]);
    }
}

#endif

/** Value i of a row of n, less its zero point; 0 behind its end. */
static TG_INLINE uint32_t tg_value(const int8_t *x, uint32_t i, uint32_t n, int32_t zp)
{
    return (i < n) ? ((uint32_t)(x[i] - zp) & 0xFFFFU) : 0U;
}

/** A row of n values as pairs of halves, each `step` words from the one before. */
static void tg_widen_row(const int8_t *x, uint32_t n, int32_t zp, uint32_t *out, uint32_t step)
{
    const uint32_t minus = ((uint32_t)-zp & 0xFFFFU) * 0x10001U;
    uint32_t i = 0U;
    for (; (i + 4U) <= n; i += 4U) {
        const uint32_t x4 = tg_load32(&x[i]);
        const uint32_t even = tg_sxtab16(minus, x4);
        const uint32_t odd = tg_sxtab16_ror8(minus, x4);
        out[0] = tg_pkhbt(even, odd);
        out[step] = tg_pkhtb(even, odd);
        out += 2U * step;
    }
    for (; i < n; i += 2U) {
        *out = tg_value(x, i, n, zp) | (tg_value(x, i + 1U, n, zp) << 16);
        out += step;
    }
}

/** Values of two keys as pairs, channel by channel: four channels in a row, `step` words from four to four. */
static void tg_pair_rows(const int8_t *x0, const int8_t *x1, uint32_t n, int32_t zp, uint32_t *out, uint32_t step)
{
    const uint32_t minus = ((uint32_t)-zp & 0xFFFFU) * 0x10001U;
    uint32_t i = 0U;
    for (; (i + 4U) <= n; i += 4U) {
        const uint32_t a = tg_load32(&x0[i]);
        const uint32_t b = tg_load32(&x1[i]);
        const uint32_t a02 = tg_sxtab16(minus, a);
        const uint32_t a13 = tg_sxtab16_ror8(minus, a);
        const uint32_t b02 = tg_sxtab16(minus, b);
        const uint32_t b13 = tg_sxtab16_ror8(minus, b);
        out[0] = tg_pkhbt(a02, b02);
        out[1] = tg_pkhbt(a13, b13);
        out[2] = tg_pkhtb(a02, b02);
        out[3] = tg_pkhtb(a13, b13);
        out += step;
    }
    for (uint32_t c = 0U; i < n; ++c) {
        out[c] = tg_value(x0, i, n, zp) | (tg_value(x1, i, n, zp) << 16);
        ++i;
    }
}

/** The greater of each pair of halves, signed. */
static TG_INLINE uint32_t tg_max16(uint32_t a, uint32_t b)
{
#if TG_DSP_ASM
    uint32_t r;
    __asm__("ssub16 %0, %1, %2\n\tsel %0, %1, %2" : "=&r"(r) : "r"(a), "r"(b) : "cc");
    return r;
#else
    return tg_pkhbt((uint32_t)((tg_low16(a) > tg_low16(b)) ? tg_low16(a) : tg_low16(b)),
                    (uint32_t)((tg_high16(a) > tg_high16(b)) ? tg_high16(a) : tg_high16(b)));
#endif
}

/** Score j of a row: pairs of keys, a word of each of two rows. By bytes: the products read words. */
static TG_INLINE int16_t tg_score_of(const uint32_t *row, uint32_t j)
{
    const uint32_t pair = row[2U * (j / 2U)];
    return (int16_t)(uint16_t)((pair >> (16U * (j % 2U))) & 0xFFFFU);
}

static TG_INLINE void tg_set_score(uint32_t *row, uint32_t j, int16_t score)
{
    const uint32_t up = 16U * (j % 2U);
    uint32_t *pair = &row[2U * (j / 2U)];
    *pair = (*pair & ~((uint32_t)0xFFFFU << up)) | (((uint32_t)score & 0xFFFFU) << up);
}

/** v >> n, 0 where n is 32 or more; n below 256. */
static TG_INLINE uint32_t tg_lsr(uint32_t v, uint32_t n)
{
#if TG_DSP_ASM
    uint32_t r;
    __asm__("lsr %0, %1, %2" : "=r"(r) : "r"(v), "r"(n));
    return r;
#else
    return (n < 32U) ? (v >> n) : 0U;
#endif
}

/** The largest of a row of pairs. */
static int32_t tg_row_top(const uint32_t *row, uint32_t pairs)
{
    uint32_t most = row[0];
    uint32_t p = 1U;
    for (; (p + 2U) <= pairs; p += 2U) {
        const uint32_t a = row[2U * p];
        const uint32_t b = row[(2U * p) + 2U];
        most = tg_max16(most, a);
        most = tg_max16(most, b);
    }
    if (p < pairs) {
        most = tg_max16(most, row[2U * p]);
    }
    {
        const int32_t low = (int16_t)(uint16_t)(most & 0xFFFFU);
        const int32_t high = (int32_t)most >> 16;
        return (low > high) ? low : high;
    }
}

/** Scores of one row of pairs become exponentials of their distance to the largest; returns their sum. */
static uint32_t tg_row_exp(uint32_t *row, uint32_t pairs, int32_t top, const int16_t *exp, uint32_t coarse)
{
    const uint32_t tops = tg_pkhbt((uint32_t)top, (uint32_t)top);
    uint32_t sum = 0U;
    for (uint32_t p = 0U; p < pairs; ++p) {
        const uint32_t d = tg_ssub16(tops, *row);
        uint32_t a = d & 0xFFFFU;
        uint32_t b = d >> 16;
        if (coarse != 0U) { /* shifted, 18 bits: more than a shift by register may count */
            a = (uint32_t)tg_usat13((int32_t)(a << coarse));
            b = (uint32_t)tg_usat13((int32_t)(b << coarse));
        }
        a = tg_lsr((uint32_t)exp[a & 511U], a >> 9);
        b = tg_lsr((uint32_t)exp[b & 511U], b >> 9);
        sum += a;
        sum += b;
        *row = tg_pkhbt(a, b);
        row += 2;
    }
    return sum;
}

/**
 * Scores of one row become exponentials; returns their sum. It sees `seen` keys of 2 * pairs. Without a bias the least
 * score, NUMERICS section 10, only matters where the largest is near it: elsewhere what is below has no weight.
 */
static uint32_t tg_row_weights(const tg_attention_s8_cfg_t *c, uint32_t *row, uint32_t seen, uint32_t pairs,
                               const int16_t *exp, const int16_t *bias)
{
    const int biased = ((c->bias_head | c->bias_row | c->bias_key) != 0U) || (*bias != 0);
    int32_t top;
    for (uint32_t j = seen; j < (2U * pairs); ++j) {
        tg_set_score(row, j, TG_SCORE_MASKED);
    }
    top = tg_row_top(row, pairs);
    if (biased || (top < (TG_SCORE_LEAST + 8192))) {
        for (uint32_t j = 0U; j < seen; ++j) {
            tg_set_score(row, j, tg_score(tg_score_of(row, j), *bias));
            bias += c->bias_key;
        }
        top = tg_row_top(row, pairs);
    }
    return tg_row_exp(row, pairs, top, exp, c->coarse);
}

/** Keys and values of one head in the order in which they are read. */
static void tg_pack_head(const tg_attention_s8_cfg_t *c, const int8_t *k, const int8_t *v, uint32_t *keys,
                         uint32_t *values)
{
    const uint32_t words = (c->d + 1U) / 2U;
    const uint32_t pairs = (c->keys + 1U) / 2U;
    const uint32_t k_step = (c->heads / c->each) * c->d;
    const uint32_t v_step = (c->heads / c->each) * c->dv;
    for (uint32_t j = 0U; j < c->keys; ++j) {
        tg_widen_row(&k[j * k_step], c->d, c->k_zp, &keys[((j / 4U) * 4U * words) + (j % 4U)], 4U);
    }
    for (uint32_t j = 0U; j < c->keys; j += 2U) {
        /* behind the last key its own values again: their weight is 0 */
        const int8_t *second = &v[((j + 1U < c->keys) ? (j + 1U) : j) * v_step];
        tg_pair_rows(&v[j * v_step], second, c->dv, c->v_zp, &values[2U * j], 4U * pairs);
    }
}

TG_SHARED void tg_attention_s8_dsp(const tg_attention_s8_cfg_t *cfg, const int8_t *q, const int8_t *k, const int8_t *v,
                                   const int16_t *exp, const int16_t *bias, void *scratch, int8_t *y)
{
    const tg_attention_s8_cfg_t c = *cfg; /* a copy: y may alias anything as far as the compiler knows */
    const uint64_t numerator = ((uint64_t)c.numerator_high << 32) | c.numerator_low;
    const uint32_t words = (c.d + 1U) / 2U;
    const uint32_t pairs = (c.keys + 1U) / 2U;
    const uint32_t fours = (c.keys + 3U) / 4U;
    const uint32_t width = c.heads * c.d;
    const uint32_t out_width = c.heads * c.dv;
    uint32_t *keys = (uint32_t *)scratch;
    uint32_t *values = &keys[words * 4U * fours];
    uint32_t *rows = &values[pairs * 4U * ((c.dv + 3U) / 4U)];
    uint32_t *scores = &rows[2U * words];
    tg_end_t end;
    for (uint32_t b = 0U; b < c.batch; ++b) {
        for (uint32_t h = 0U; h < c.heads; ++h) {
            const uint32_t shared = h / c.each;
            const int16_t *head_bias = &bias[h * c.bias_head];
            if ((h % c.each) == 0U) {
                tg_pack_head(&c, &k[(b * c.keys * (c.heads / c.each) * c.d) + (shared * c.d)],
                             &v[(b * c.keys * (c.heads / c.each) * c.dv) + (shared * c.dv)], keys, values);
            }
            for (uint32_t i = 0U; i < c.queries; i += 2U) {
                const uint32_t other = (i + 1U < c.queries) ? (i + 1U) : i; /* a lone last row is its own other */
                const uint32_t see = ((c.causal != 0U) && (other < c.keys)) ? (other + 1U) : c.keys;
                const uint32_t see_pairs = (see + 1U) / 2U;
                int8_t *y0 = &y[(((b * c.queries) + i) * out_width) + (h * c.dv)];
                int8_t *y1 = &y[(((b * c.queries) + other) * out_width) + (h * c.dv)];
                uint32_t *to = scores;
                tg_widen_row(&q[(((b * c.queries) + i) * width) + (h * c.d)], c.d, c.q_zp, rows, 2U);
                tg_widen_row(&q[(((b * c.queries) + other) * width) + (h * c.d)], c.d, c.q_zp, &rows[1], 2U);
                end.m[0] = c.m;
                end.m[1] = c.m;
                end.shift = (int32_t)c.shift - 32;
                end.round = (int32_t)(1UL << (c.shift - 33U));
                for (uint32_t j = 0U; j < see; j += 4U) {
                    to = tg_tile_scores(rows, &keys[j * words], (int32_t)words, &end, to);
                }
                for (uint32_t r = 0U; r < 2U; ++r) {
                    const uint32_t row = (r == 0U) ? i : other;
                    const uint32_t seen = ((c.causal != 0U) && (row < c.keys)) ? (row + 1U) : c.keys;
                    const int16_t *own = &head_bias[row * c.bias_row];
                    end.m[r] = (int32_t)tg_divide(numerator, tg_row_weights(&c, &scores[r], seen, see_pairs, exp, own));
                }
                end.shift = (int32_t)c.out_shift - 32;
                end.round = (int32_t)(((uint32_t)c.out_zp << (c.out_shift - 32U)) + (1UL << (c.out_shift - 33U)));
                for (uint32_t o = 0U; o < c.dv; o += 4U) {
                    const uint32_t *columns = &values[o * pairs];
                    if (o + 4U <= c.dv) {
                        tg_tile_outputs(scores, columns, (int32_t)see_pairs, &end, &y0[o], &y1[o]);
                    } else {
                        int8_t last[8];
                        tg_tile_outputs(scores, columns, (int32_t)see_pairs, &end, last, &last[4]);
                        for (uint32_t n = 0U; n < (c.dv - o); ++n) {
                            y1[o + n] = last[4U + n];
                            y0[o + n] = last[n];
                        }
                    }
                }
            }
        }
    }
}
