#include "tg_attention_s8_dsp.h"

#include "tg_attention.h"
#include "tg_divide.h"
#include "tg_isa_dsp.h"

/* Two rows of queries at a time, four keys or four channels of values: eight sums of pairs. Operands of all products
 * lie in the order in which they are read: a word of each row, a word of each of four columns. */

/** Scores of two queries with keys, four at a time. The assembly knows the order. */
typedef struct {
    uint32_t *rows;
    const uint32_t *rows_end;
    uint32_t words;   /**< of each row, at least one */
    uint32_t *scores; /**< pairs of keys, for each pair a word of each query */
    const uint32_t *columns_end;
    int32_t m; /**< from sums to scores: (sum * m >> 32, plus `round`) >> shift */
    int32_t round;
    int32_t shift;
    uint32_t top[2]; /**< of each query, the largest of even and odd keys: written */
    const uint32_t *columns;
    uint32_t up; /**< queries are shifted left by so much, for shifts of sums below 33 */
} tg_scores_t;

/** Outputs of two queries, four channels at a time. The assembly knows the order. */
typedef struct {
    const uint32_t *rows;
    const uint32_t *rows_end;
    uint32_t words;
    int8_t *y[2]; /**< of each query; may be one */
    const uint32_t *columns_end;
    uint32_t skip; /**< bytes of columns behind the words of each four channels */
    int32_t m[2];  /**< of each query */
    int32_t round;
    int32_t shift;
    const uint32_t *columns;
} tg_outputs_t;

#if TG_DSP_NAKED

/* the assembly reads the parameters */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Woverlength-strings"

/* Sums of row 0 are r6..r9, of row 1 r10..lr. */
#define TG_FIRST(sum, a, b) "smuad " sum ", " a ", " b "\n"
#define TG_NEXT(sum, a, b) "smlad " sum ", " a ", " b ", " sum "\n"

/* One word of both rows (r0) and of four columns (r1): 56 bytes. */
#define TG_PAIR(mul)                                                                                                   \
    "ldr r2, [r0], #4\n"                                                                                               \
    "ldr r3, [r0], #4\n"                                                                                               \
    "ldr r4, [r1], #4\n"                                                                                               \
    "ldr r5, [r1], #4\n" mul("r6", "r2", "r4") mul("r10", "r3", "r4") mul("r7", "r2", "r5") mul("r11", "r3", "r5")     \
    "ldr r4, [r1], #4\n"                                                                                               \
    "ldr r5, [r1], #4\n" mul("r8", "r2", "r4") mul("r12", "r3", "r4") mul("r9", "r2", "r5") mul("lr", "r3", "r5")

#define TG_PAIRS TG_PAIR(TG_NEXT) TG_PAIR(TG_NEXT) TG_PAIR(TG_NEXT) TG_PAIR(TG_NEXT)

/* r1: columns; s0: rows, s1: their end, s2: words. Makes s2 where the words behind the first are entered: sixteen a
 * round, the first round may be a shorter one. */
#define TG_ENTER                                                                                                       \
    "vmov r2, s2\n"                                                                                                    \
    "subs r2, #1\n"                                                                                                    \
    "rsb r3, r2, #0\n"                                                                                                 \
    "and r3, r3, #15\n"                                                                                                \
    "movs r4, #56\n"                                                                                                   \
    "adr.w r5, 2f\n"                                                                                                   \
    "mla r3, r3, r4, r5\n"                                                                                             \
    "adr.w r5, 3f\n"                                                                                                   \
    "cmp r2, #0\n"                                                                                                     \
    "it eq\n"                                                                                                          \
    "moveq r3, r5\n"                                                                                                   \
    "vmov s2, r3\n"

#define TG_SUMS                                                                                                        \
    "1:\n"                                                                                                             \
    "vmov r0, s0\n" TG_PAIR(TG_FIRST)                                                                                  \
    "vmov r2, s2\n"                                                                                                    \
    "mov pc, r2\n"                                                                                                     \
    "2:\n" TG_PAIRS TG_PAIRS TG_PAIRS TG_PAIRS                                                                         \
    "3:\n"                                                                                                             \
    "vmov r2, s1\n"                                                                                                    \
    "cmp r0, r2\n"                                                                                                     \
    "bne 2b\n"

/* From sums to integers of `bits`, with the multipliers m0 and m1, r4 and r5: round and shift. */
#define TG_END(m0, m1, bits)                                                                                           \
    "smmla r6, r6, " m0 ", r4\n"                                                                                       \
    "smmla r7, r7, " m0 ", r4\n"                                                                                       \
    "smmla r8, r8, " m0 ", r4\n"                                                                                       \
    "smmla r9, r9, " m0 ", r4\n"                                                                                       \
    "smmla r10, r10, " m1 ", r4\n"                                                                                     \
    "smmla r11, r11, " m1 ", r4\n"                                                                                     \
    "smmla r12, r12, " m1 ", r4\n"                                                                                     \
    "smmla lr, lr, " m1 ", r4\n"                                                                                       \
    "asrs r6, r5\n"                                                                                                    \
    "asrs r7, r5\n"                                                                                                    \
    "asr r8, r8, r5\n"                                                                                                 \
    "asr r9, r9, r5\n"                                                                                                 \
    "asr r10, r10, r5\n"                                                                                               \
    "asr r11, r11, r5\n"                                                                                               \
    "asr r12, r12, r5\n"                                                                                               \
    "asr lr, lr, r5\n"                                                                                                 \
    "ssat r6, #" bits ", r6\n"                                                                                         \
    "ssat r7, #" bits ", r7\n"                                                                                         \
    "ssat r8, #" bits ", r8\n"                                                                                         \
    "ssat r9, #" bits ", r9\n"                                                                                         \
    "ssat r10, #" bits ", r10\n"                                                                                       \
    "ssat r11, #" bits ", r11\n"                                                                                       \
    "ssat r12, #" bits ", r12\n"                                                                                       \
    "ssat lr, #" bits ", lr\n"

/* The greater of each pair of halves of `a` and `b`, in `b`; r6 is lost. */
#define TG_MAX16(a, b)                                                                                                 \
    "ssub16 r6, " a ", " b "\n"                                                                                        \
    "sel " b ", " a ", " b "\n"

/* s3: scores, s4: end of columns, s5: m, s6: round, s7: shift, s8, s9: the largest, s10: job. */
static TG_NOINLINE TG_NAKED void tg_scores(tg_scores_t *job)
{
    __asm__ volatile(".syntax unified\n"
                     "push {r4-r11, lr}\n"
                     "vldmia r0, {s0-s7}\n"
                     "mov r1, #0x80008000\n"
                     "vmov s8, r1\n"
                     "vmov s9, r1\n"
                     "vmov s10, r0\n"
                     "ldr r1, [r0, #40]\n" TG_ENTER TG_SUMS "vmov r2, s5\n"
                     "vmov r4, s6\n"
                     "vmov r5, s7\n" TG_END("r2", "r2", "16") "pkhbt r2, r6, r7, lsl #16\n"
                     "pkhbt r3, r10, r11, lsl #16\n"
                     "pkhbt r4, r8, r9, lsl #16\n"
                     "pkhbt r5, r12, lr, lsl #16\n"
                     "vmov r0, s3\n"
                     "stmia r0!, {r2-r5}\n"
                     "vmov s3, r0\n"
                     "vmov r7, s8\n"
                     "vmov r8, s9\n" TG_MAX16("r2", "r7") TG_MAX16("r3", "r8") TG_MAX16("r4", "r7")
                         TG_MAX16("r5", "r8") "vmov s8, r7\n"
                     "vmov s9, r8\n"
                     "vmov r2, s4\n"
                     "cmp r1, r2\n"
                     "bne 1b\n"
                     "vmov r0, s10\n"
                     "strd r7, r8, [r0, #32]\n"
                     "pop {r4-r11, pc}\n");
}

/* s3, s4: outputs, s5: end of columns, s6: skip, s7, s8: m, s9: round, s10: shift. */
static TG_NOINLINE TG_NAKED void tg_outputs(const tg_outputs_t *job)
{
    __asm__ volatile(".syntax unified\n"
                     "push {r4-r11, lr}\n"
                     "vldmia r0, {s0-s10}\n"
                     "ldr r1, [r0, #44]\n" TG_ENTER TG_SUMS "vmov r2, s7\n"
                     "vmov r3, s8\n"
                     "vmov r4, s9\n"
                     "vmov r5, s10\n" TG_END("r2", "r3", "8") "vmov r3, s4\n"
                     "strb r10, [r3], #1\n"
                     "strb r11, [r3], #1\n"
                     "strb r12, [r3], #1\n"
                     "strb lr, [r3], #1\n"
                     "vmov s4, r3\n"
                     "vmov r2, s3\n"
                     "strb r6, [r2], #1\n"
                     "strb r7, [r2], #1\n"
                     "strb r8, [r2], #1\n"
                     "strb r9, [r2], #1\n"
                     "vmov s3, r2\n"
                     "vmov r2, s6\n"
                     "add r1, r2\n"
                     "vmov r2, s5\n"
                     "cmp r1, r2\n"
                     "bne 1b\n"
                     "pop {r4-r11, pc}\n");
}

#pragma GCC diagnostic pop

#else

/** The sums of both rows with four columns: row by row. */
static void tg_sums(const uint32_t *rows, const uint32_t *columns, uint32_t words, int32_t sums[8])
{
    for (uint32_t i = 0U; i < 8U; ++i) {
        sums[i] = 0;
        for (uint32_t w = 0U; w < words; ++w) {
            sums[i] = tg_smlad(rows[(2U * w) + (i / 4U)], columns[(4U * w) + (i % 4U)], sums[i]);
        }
    }
}

static void tg_scores(tg_scores_t *job)
{
    uint32_t *to = job->scores;
    job->top[0] = 0x80008000U;
    job->top[1] = 0x80008000U;
    for (const uint32_t *columns = job->columns; columns != job->columns_end; columns += 4U * job->words) {
        int32_t s[8];
        tg_sums(job->rows, columns, job->words, s);
        for (uint32_t i = 0U; i < 8U; ++i) {
            s[i] = tg_ssat16(tg_smmla(s[i], job->m, job->round) >> job->shift);
        }
        for (uint32_t i = 0U; i < 8U; i += 2U) { /* pairs of keys, for each a word of each row */
            const uint32_t row = i / 4U;
            const uint32_t pair = tg_pkhbt((uint32_t)s[i], (uint32_t)s[i + 1U]);
            to[(i % 4U) + row] = pair;
            job->top[row] = tg_max16(job->top[row], pair);
        }
        to += 4;
    }
}

static void tg_outputs(const tg_outputs_t *job)
{
    const uint32_t step = (4U * job->words) + (job->skip / sizeof(uint32_t));
    uint32_t at = 0U;
    for (const uint32_t *columns = job->columns; columns != job->columns_end; columns += step) {
        int32_t s[8];
        tg_sums(job->rows, columns, job->words, s);
        for (uint32_t i = 0U; i < 8U; ++i) {
            const uint32_t row = 1U - (i / 4U);
            const int32_t v = tg_smmla(s[(4U * row) + (i % 4U)], job->m[row], job->round) >> job->shift;
            job->y[row][at + (i % 4U)] = (int8_t)tg_ssat8(v);
        }
        at += 4U;
    }
}

#endif

/** Value i of a row of n, less its zero point; 0 behind its end. */
static TG_INLINE uint32_t tg_value(const int8_t *x, uint32_t i, uint32_t n, int32_t zp)
{
    return (i < n) ? ((uint32_t)(x[i] - zp) & 0xFFFFU) : 0U;
}

/** Four values as two words. */
static TG_INLINE void tg_widen_word(uint32_t x4, uint32_t minus, uint32_t *first, uint32_t *second)
{
    const uint32_t even = tg_sxtab16(minus, x4);
    const uint32_t odd = tg_sxtab16_ror8(minus, x4);
    *first = tg_pkhbt(even, odd);
    *second = tg_pkhtb(even, odd);
}

/** One to three values, to words `step` apart. */
static TG_NOINLINE void tg_widen_rest(const int8_t *x, uint32_t n, int32_t zp, uint32_t *out, uint32_t step)
{
    for (uint32_t i = 0U; i < n; i += 2U) {
        *out = tg_value(x, i, n, zp) | (tg_value(x, i + 1U, n, zp) << 16);
        out += step;
    }
}

/** Two queries as pairs of halves, a word of each in turn. */
static TG_INLINE void tg_widen_two(const int8_t *x0, const int8_t *x1, uint32_t n, int32_t zp, uint32_t *out)
{
    const uint32_t minus = ((uint32_t)-zp & 0xFFFFU) * 0x10001U;
    for (const int8_t *end = &x0[n & ~3U]; x0 != end; x0 += 4) {
        const uint32_t a = tg_load32(x0);
        const uint32_t b = tg_load32(x1);
        TG_STAY();
        tg_widen_word(a, minus, &out[0], &out[2]);
        TG_STAY();
        tg_widen_word(b, minus, &out[1], &out[3]);
        x1 += 4;
        out += 4;
    }
    if ((n & 3U) != 0U) {
        tg_widen_rest(x0, n & 3U, zp, &out[0], 2U);
        tg_widen_rest(x1, n & 3U, zp, &out[1], 2U);
    }
}

/** Both halves of n words are shifted left. */
static TG_NOINLINE void tg_shift_halves(uint32_t *words, uint32_t n, uint32_t up)
{
    for (uint32_t i = 0U; i < n; ++i) {
        const uint32_t w = words[i];
        words[i] = ((w & 0xFFFF0000U) << up) | ((w << up) & 0xFFFFU);
    }
}

/** The keys of a head in the order in which they are read. Behind the last, that again: no score gets larger. */
static TG_NOINLINE void tg_pack_keys(const tg_attention_s8_cfg_t *c, const int8_t *k, uint32_t *out)
{
    const uint32_t minus = ((uint32_t)-c->k_zp & 0xFFFFU) * 0x10001U;
    const uint32_t step = (c->heads / c->each) * c->d;
    const uint32_t n = c->d & ~3U;
    for (uint32_t j = 0U; j < c->keys; j += 4U) {
        const uint32_t left = c->keys - j; /* behind the last key, that again */
        const int8_t *x0 = k;
        const int8_t *x1 = (left > 1U) ? &x0[step] : x0;
        const int8_t *x2 = (left > 2U) ? &x1[step] : x1;
        const int8_t *x3 = (left > 3U) ? &x2[step] : x2;
        for (const int8_t *end = &x0[n]; x0 != end; x0 += 4) {
            const uint32_t w0 = tg_load32(x0);
            const uint32_t w1 = tg_load32(x1);
            const uint32_t w2 = tg_load32(x2);
            const uint32_t w3 = tg_load32(x3);
            TG_STAY();
            tg_widen_word(w0, minus, &out[0], &out[4]);
            TG_STAY();
            tg_widen_word(w1, minus, &out[1], &out[5]);
            TG_STAY();
            tg_widen_word(w2, minus, &out[2], &out[6]);
            TG_STAY();
            tg_widen_word(w3, minus, &out[3], &out[7]);
            x1 += 4;
            x2 += 4;
            x3 += 4;
            out += 8;
        }
        if (n < c->d) {
            tg_widen_rest(x0, c->d - n, c->k_zp, &out[0], 4U);
            tg_widen_rest(x1, c->d - n, c->k_zp, &out[1], 4U);
            tg_widen_rest(x2, c->d - n, c->k_zp, &out[2], 4U);
            tg_widen_rest(x3, c->d - n, c->k_zp, &out[3], 4U);
            out += 4U * ((c->d - n + 1U) / 2U);
        }
        k += 4U * step;
    }
}

/** Four channels of two keys as pairs. */
static TG_INLINE void tg_pair_word(uint32_t a, uint32_t b, uint32_t minus, uint32_t *out)
{
    const uint32_t a02 = tg_sxtab16(minus, a);
    const uint32_t a13 = tg_sxtab16_ror8(minus, a);
    const uint32_t b02 = tg_sxtab16(minus, b);
    const uint32_t b13 = tg_sxtab16_ror8(minus, b);
    out[0] = tg_pkhbt(a02, b02);
    out[1] = tg_pkhbt(a13, b13);
    out[2] = tg_pkhtb(a02, b02);
    out[3] = tg_pkhtb(a13, b13);
}

/** The values of a head: pairs of keys, four channels in a row, behind them those of the next pair. */
static TG_NOINLINE void tg_pack_values(const tg_attention_s8_cfg_t *c, const int8_t *v, uint32_t *values)
{
    const uint32_t minus = ((uint32_t)-c->v_zp & 0xFFFFU) * 0x10001U;
    const uint32_t step = (c->heads / c->each) * c->dv;
    const uint32_t n = c->dv & ~3U;
    const uint32_t down = 8U * ((c->keys + 3U) / 4U); /* words from four channels to four */
    for (uint32_t j = 0U; j < c->keys; j += 4U) {
        uint32_t *out = &values[2U * j];
        const uint32_t left = c->keys - j; /* behind the last key, that again */
        const int8_t *x0 = v;
        const int8_t *x1 = (left > 1U) ? &x0[step] : x0;
        const int8_t *x2 = (left > 2U) ? &x1[step] : x1;
        const int8_t *x3 = (left > 3U) ? &x2[step] : x2;
        for (const int8_t *end = &x0[n]; x0 != end; x0 += 4) {
            const uint32_t w0 = tg_load32(x0);
            const uint32_t w1 = tg_load32(x1);
            const uint32_t w2 = tg_load32(x2);
            const uint32_t w3 = tg_load32(x3);
            TG_STAY();
            tg_pair_word(w0, w1, minus, &out[0]);
            TG_STAY();
            tg_pair_word(w2, w3, minus, &out[4]);
            x1 += 4;
            x2 += 4;
            x3 += 4;
            out += down;
        }
        for (uint32_t i = 0U; i < (c->dv - n); ++i) {
            out[i] = tg_value(x0, i, 4U, c->v_zp) | (tg_value(x1, i, 4U, c->v_zp) << 16);
            out[4U + i] = tg_value(x2, i, 4U, c->v_zp) | (tg_value(x3, i, 4U, c->v_zp) << 16);
        }
        v += 4U * step;
    }
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

/** What exponentials of two rows are made of. The assembly knows the order. */
typedef struct {
    uint32_t tops[2]; /**< the largest score of each row, in both halves */
    int32_t sums[2];  /**< written */
    uint32_t coarse;  /**< 0 to 2: how many bits coarser than entries of the table scores are */
} tg_exp_t;

#if TG_DSP_NAKED

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"

/* A pair of each row at a time up to `end`: r4, r5 distances, r6..r9 exponentials, r12, lr sums. `low`, `high`: where
 * `bits` bits of fraction begin, for entries `up` bits of address apart; the others, at most 8, are from `point` on. */
#define TG_BOTH_EXP(label, finer, low, high, bits, up, point, count, upper)                                            \
    label ":\n"                                                                                                        \
          "ldr r4, [r0]\n"                                                                                             \
          "ldr r5, [r0, #4]\n"                                                                                         \
          "ssub16 r4, r3, r4\n"                                                                                        \
          "ssub16 r5, r11, r5\n" finer "ubfx r6, r4, #" low ", #" bits "\n"                                            \
          "ubfx r7, r4, #" high ", #" bits "\n"                                                                        \
          "ubfx r8, r5, #" low ", #" bits "\n"                                                                         \
          "ubfx r9, r5, #" high ", #" bits "\n"                                                                        \
          "ldrh r6, [r2, r6, lsl #" up "]\n"                                                                           \
          "ldrh r7, [r2, r7, lsl #" up "]\n"                                                                           \
          "ldrh r8, [r2, r8, lsl #" up "]\n"                                                                           \
          "ldrh r9, [r2, r9, lsl #" up "]\n"                                                                           \
          "ubfx r10, r4, #" point ", #" count "\n"                                                                     \
          "lsr r4, r4, #" upper "\n"                                                                                   \
          "lsr r6, r6, r10\n"                                                                                          \
          "lsr r7, r7, r4\n"                                                                                           \
          "ubfx r10, r5, #" point ", #" count "\n"                                                                     \
          "lsr r5, r5, #" upper "\n"                                                                                   \
          "lsr r8, r8, r10\n"                                                                                          \
          "lsr r9, r9, r5\n"                                                                                           \
          "mov r10, #0x00010001\n"                                                                                     \
          "pkhbt r6, r6, r7, lsl #16\n"                                                                                \
          "pkhbt r8, r8, r9, lsl #16\n"                                                                                \
          "str r6, [r0], #4\n"                                                                                         \
          "str r8, [r0], #4\n"                                                                                         \
          "smlad r12, r6, r10, r12\n"                                                                                  \
          "smlad lr, r8, r10, lr\n"                                                                                    \
          "cmp r0, r1\n"                                                                                               \
          "bne " label "b\n"

/* Where that saturates, the exponential is 0 as well. */
#define TG_TWICE                                                                                                       \
    "uqadd16 r4, r4, r4\n"                                                                                             \
    "uqadd16 r5, r5, r5\n"

/** Scores of two rows, in turn, become exponentials. */
static TG_NOINLINE TG_NAKED void tg_both_exp(uint32_t *scores, const uint32_t *end, const int16_t *exp, tg_exp_t *job)
{
    __asm__ volatile(".syntax unified\n"
                     "push {r3-r11, lr}\n"
                     "ldr r4, [r3, #16]\n"
                     "ldr r11, [r3, #4]\n"
                     "ldr r3, [r3]\n"
                     "mov r12, #0\n"
                     "mov lr, r12\n"
                     "cmp r4, #1\n"
                     "beq 2f\n"
                     "bgt 3f\n" TG_BOTH_EXP("1", "", "0", "16", "9", "1", "9", "7", "25") "b 4f\n"
                     TG_BOTH_EXP("2", "", "0", "16", "8", "2", "8", "8", "24") "b 4f\n"
                     TG_BOTH_EXP("3", TG_TWICE, "1", "17", "7", "3", "8", "8", "24") "4:\n"
                     "pop {r0}\n"
                     "strd r12, lr, [r0, #8]\n"
                     "pop {r4-r11, pc}\n");
}

#pragma GCC diagnostic pop

#else

static void tg_both_exp(uint32_t *scores, const uint32_t *end, const int16_t *exp, tg_exp_t *job)
{
    job->sums[0] = 0;
    job->sums[1] = 0;
    for (uint32_t r = 0U; scores != end; r = 1U - r) {
        uint32_t d = tg_ssub16(job->tops[r], *scores);
        for (uint32_t i = 0U; i < job->coarse; ++i) {
            d = tg_uqadd16(d, d); /* where that saturates, the exponential is 0 as well */
        }
        *scores = tg_pkhbt(tg_lsr((uint32_t)exp[d & 511U], (d >> 9) & 127U),
                           tg_lsr((uint32_t)exp[(d >> 16) & 511U], d >> 25));
        job->sums[r] = tg_smlad(*scores, 0x00010001U, job->sums[r]);
        ++scores;
    }
}

#endif

/** Scores of a row of pairs get their bias, those behind the `seen` keys are masked; returns the largest. */
static TG_NOINLINE int32_t tg_row_bias(uint32_t *row, uint32_t seen, uint32_t pairs, const int16_t *bias, uint32_t step)
{
    int32_t top = TG_SCORE_MASKED;
    for (uint32_t j = 0U; j < seen; ++j) {
        const int16_t score = tg_score(tg_score_of(row, j), *bias);
        tg_set_score(row, j, score);
        top = (score > top) ? score : top;
        bias += step;
    }
    for (uint32_t j = seen; j < (2U * pairs); ++j) {
        tg_set_score(row, j, TG_SCORE_MASKED);
    }
    return top;
}

/** The same without a bias and the least score. */
static TG_NOINLINE int32_t tg_row_seen(uint32_t *row, uint32_t seen, uint32_t pairs)
{
    uint32_t top;
    for (uint32_t j = seen; j < (2U * pairs); ++j) {
        tg_set_score(row, j, TG_SCORE_MASKED);
    }
    top = row[0];
    for (const uint32_t *end = &row[2U * pairs]; row != end; row += 2) {
        top = tg_max16(top, *row);
    }
    return tg_greater16(top);
}

/** The last one to three of n channels of two queries. */
static TG_NOINLINE void tg_last_outputs(const tg_outputs_t *all, uint32_t n, uint32_t pairs)
{
    tg_outputs_t out = *all;
    const uint32_t first = n & ~3U;
    int8_t four[8] = {0};
    out.y[0] = four;
    out.y[1] = &four[4];
    out.columns = &all->columns[first * pairs];
    out.columns_end = &out.columns[4U * pairs];
    tg_outputs(&out);
    for (uint32_t i = first; i < n; ++i) {
        all->y[1][i] = four[4U + i - first];
        all->y[0][i] = four[i - first];
    }
}

/** All queries of one head, two at a time. `in` and `out` hold what they share. */
static TG_NOINLINE void tg_head(const tg_attention_s8_cfg_t *c, const int8_t *q, const int16_t *exp,
                                const int16_t *bias, tg_scores_t *in, tg_outputs_t *out, int8_t *y)
{
    const int biased = ((c->bias_head | c->bias_row | c->bias_key) != 0U) || (*bias != 0);
    const int partly = (c->causal != 0U) || ((c->keys % 2U) != 0U);
    const uint32_t pairs = 2U * ((c->keys + 3U) / 4U);
    const uint32_t width = c->heads * c->d;
    const uint32_t out_width = c->heads * c->dv;
    uint32_t *scores = in->scores;
    tg_exp_t both = {{0U, 0U}, {0, 0}, c->coarse};
    for (uint32_t i = 0U; i < c->queries; i += 2U) {
        const uint32_t one = ((i + 1U) < c->queries) ? 1U : 0U; /* a lone last row is its own other */
        uint32_t seen[2] = {c->keys, c->keys};
        int32_t top[2];
        if (c->causal != 0U) {
            seen[0] = (i < c->keys) ? (i + 1U) : c->keys;
            seen[1] = ((i + one) < c->keys) ? (i + one + 1U) : c->keys;
        }
        tg_widen_two(q, &q[one * width], c->d, c->q_zp, in->rows);
        if (in->up > 0U) {
            tg_shift_halves(in->rows, 2U * in->words, in->up);
        }
        in->columns_end = &in->columns[((seen[1] + 3U) & ~3U) * in->words];
        tg_scores(in);
        out->words = (seen[1] + 1U) / 2U;
        out->rows_end = &scores[2U * out->words];
        out->skip = 16U * (pairs - out->words);
        top[0] = tg_greater16(in->top[0]);
        top[1] = tg_greater16(in->top[1]);
        if (partly) {
            top[0] = tg_row_seen(&scores[0], seen[0], out->words);
            top[1] = tg_row_seen(&scores[1], seen[1], out->words);
        }
        /* the least score, NUMERICS section 10, only matters near it: elsewhere what is below has no weight */
        if (biased || (top[0] < (TG_SCORE_LEAST + 8192)) || (top[1] < (TG_SCORE_LEAST + 8192))) {
            const int16_t *own = &bias[i * c->bias_row];
            top[0] = tg_row_bias(&scores[0], seen[0], out->words, own, c->bias_key);
            top[1] = tg_row_bias(&scores[1], seen[1], out->words, &own[one * c->bias_row], c->bias_key);
        }
        both.tops[0] = tg_pkhbt((uint32_t)top[0], (uint32_t)top[0]);
        both.tops[1] = tg_pkhbt((uint32_t)top[1], (uint32_t)top[1]);
        tg_both_exp(scores, out->rows_end, exp, &both);
        out->m[0] = (int32_t)tg_divide_word(c->numerator_high, c->numerator_low, (uint32_t)both.sums[0]);
        out->m[1] = (int32_t)tg_divide_word(c->numerator_high, c->numerator_low, (uint32_t)both.sums[1]);
        out->y[0] = y;
        out->y[1] = &y[one * out_width];
        if (c->dv >= 4U) {
            tg_outputs(out);
        }
        if ((c->dv % 4U) != 0U) {
            tg_last_outputs(out, c->dv, pairs);
        }
        q += 2U * width;
        y += 2U * out_width;
    }
}

TG_SHARED void tg_attention_s8_dsp(const tg_attention_s8_cfg_t *cfg, const int8_t *q, const int8_t *k, const int8_t *v,
                                   const int16_t *exp, const int16_t *bias, void *scratch, int8_t *y)
{
    const tg_attention_s8_cfg_t c = *cfg; /* a copy: y may alias anything as far as the compiler knows */
    const uint32_t words = (c.d + 1U) / 2U;
    const uint32_t fours = (c.keys + 3U) / 4U;
    uint32_t *keys = (uint32_t *)scratch;
    uint32_t *values = &keys[words * 4U * fours];
    uint32_t *rows = &values[2U * fours * 4U * ((c.dv + 3U) / 4U)];
    uint32_t *scores = &rows[2U * words];
    /* the shift of sums at least 33: queries and, behind 7 bits, keys make up for what it lacks */
    const uint32_t up = (c.shift < 33U) ? (33U - c.shift) : 0U;
    const uint32_t up_keys = (up > 7U) ? (up - 7U) : 0U;
    const int32_t down = (int32_t)(c.shift + up) - 32;
    tg_scores_t in = {rows, scores, words, scores, NULL, c.m, 0, down, {0U, 0U}, keys, up - up_keys};
    tg_outputs_t out = {scores, NULL, 0U, {NULL, NULL}, NULL, 0U, {0, 0}, 0, (int32_t)c.out_shift - 32, values};
    in.round = (int32_t)((1UL << (uint32_t)down) >> 1);
    out.round = (int32_t)(((uint32_t)c.out_zp << (c.out_shift - 32U)) + (1UL << (c.out_shift - 33U)));
    out.columns_end = &values[(c.dv & ~3U) * 2U * fours];
    for (uint32_t b = 0U; b < c.batch; ++b) {
        for (uint32_t h = 0U; h < c.heads; ++h) {
            if ((h % c.each) == 0U) {
                const uint32_t first = (b * c.keys * (c.heads / c.each)) + (h / c.each);
                tg_pack_keys(&c, &k[first * c.d], keys);
                if (up_keys > 0U) {
                    tg_shift_halves(keys, words * 4U * fours, up_keys);
                }
                tg_pack_values(&c, &v[first * c.dv], values);
            }
            tg_head(&c, &q[((b * c.queries * c.heads) + h) * c.d], exp, &bias[h * c.bias_head], &in, &out,
                    &y[((b * c.queries * c.heads) + h) * c.dv]);
        }
    }
}
