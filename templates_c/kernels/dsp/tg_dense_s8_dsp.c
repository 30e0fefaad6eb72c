#include "tg_dense_s8_dsp.h"

#include "tg_epilogue_dsp.h"

/* What ends a row of halves; no pair of two int8 is as small. It also tells whose the multipliers are. */
#define TG_END_SHARED 0x80008000U /* one for all channels */
#define TG_END_OWN 0x80000000U    /* each channel has its own */

/** What all blocks of a row share. */
typedef struct {
    const uint32_t *x; /**< the row: pairs of halves, then TG_END_... */
    int32_t quads;     /**< of inputs */
    int32_t m_step;    /**< words: 8 or 0 */
    tg_output_dsp_t out;
} tg_row_t;

/** A raw sum is 256 * odd + even; the odd channels' multipliers are divided by 256. */
static TG_INLINE int32_t tg_odd_raw(int32_t raw, int32_t even)
{
    return (int32_t)((uint32_t)raw - (uint32_t)even);
}

#if TG_DSP_ASM

/* Registers: r0-r3 activations and weights, r4 and r5 their pointers; sums of the even and odd channels r6, r7; r8, r9;
 * r10, r11; r12, lr. A raw word adds 256 * odd + even, its even bytes alone add even. */
#define TG_MAC(w, x, even, odd)                                                                                        \
    "smlad " odd ", " w ", " x ", " odd "\n"                                                                           \
    "sxtb16 " w ", " w "\n"                                                                                            \
    "smlad " even ", " w ", " x ", " even "\n"
/* two at a time, for cores that issue two instructions */
#define TG_MAC2(w0, x0, even0, odd0, w1, x1, even1, odd1)                                                              \
    "smlad " odd0 ", " w0 ", " x0 ", " odd0 "\n"                                                                       \
    "sxtb16 " w0 ", " w0 "\n"                                                                                          \
    "smlad " odd1 ", " w1 ", " x1 ", " odd1 "\n"                                                                       \
    "sxtb16 " w1 ", " w1 "\n"                                                                                          \
    "smlad " even0 ", " w0 ", " x0 ", " even0 "\n"                                                                     \
    "smlad " even1 ", " w1 ", " x1 ", " even1 "\n"
/* the first loads of four inputs, which lie `x` bytes behind r5 */
#define TG_LOAD(x)                                                                                                     \
    "ldr r0, [r5, #" x "]\n"                                                                                           \
    "ldr r1, [r4, #4]\n"                                                                                               \
    "ldr r2, [r4, #8]\n"                                                                                               \
    "ldr r3, [r4, #12]\n"
/* four inputs, eight channels: 32 multiply-accumulates. Loads stand in groups, which the Cortex-M4 pipelines. */
#define TG_QUAD(x)                                                                                                     \
    TG_MAC2("r1", "r0", "r6", "r7", "r2", "r0", "r8", "r9")                                                            \
    TG_MAC("r3", "r0", "r10", "r11")                                                                                   \
    "ldr r1, [r4, #16]\n"                                                                                              \
    "ldr r2, [r5, #" x " + 4]\n"                                                                                       \
    "ldr r3, [r4], #20\n" TG_MAC2("r1", "r0", "r12", "lr", "r3", "r2", "r6",                                           \
                                  "r7") "ldmia r4!, {r0, r1, r3}\n" TG_MAC2("r0", "r2", "r8", "r9", "r1", "r2", "r10", \
                                                                            "r11") TG_MAC("r3", "r2", "r12", "lr")

/* the assembly reads the parameters */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Woverlength-strings"

/**
 * Blocks of eight channels for y up to y_end. The inner loop takes seven quads of inputs; its first round begins
 * `entry` quads later, and x points as many before the row. m, m_odd: the multipliers all channels share, else m_own.
 * One more block for `last` unless it is NULL. Returns the end of the weights.
 */
static TG_NOINLINE TG_NAKED const int32_t *tg_dense_blocks(const int32_t *w, int8_t *y, const int8_t *y_end,
                                                           const int32_t *m_own, const uint32_t *x, int32_t entry,
                                                           int32_t offset, int32_t m, int32_t m_odd, uint32_t shift,
                                                           int8_t *last)
{
    __asm__ volatile(".syntax unified\n"
                     "push {r1-r11, lr}\n" /* sp: y, y_end, m_own; sp + 48: x, entry, offset, m, m_odd, shift, last */
                     "mov r4, r0\n"
                     "ldr r5, [sp, #48]\n"
                     "ldr r0, [sp, #52]\n"
                     "1:\n"
                     "ldmia r4!, {r6-r12, lr}\n"
                     "tbh [pc, r0, lsl #1]\n"
                     "2:\n"
                     ".hword (10f - 2b) / 2, (11f - 2b) / 2, (12f - 2b) / 2, (13f - 2b) / 2\n"
                     ".hword (14f - 2b) / 2, (15f - 2b) / 2, (16f - 2b) / 2\n"
                     "10:\n" TG_LOAD("0") "3:\n" TG_QUAD("0") "11:\n" TG_LOAD("8") TG_QUAD("8") "12:\n" TG_LOAD("16")
                         TG_QUAD("16") "13:\n" TG_LOAD("24") TG_QUAD("24") "14:\n" TG_LOAD("32")
                             TG_QUAD("32") "15:\n" TG_LOAD("40") TG_QUAD("40") "16:\n" TG_LOAD("48")
                                 TG_QUAD("48") "ldr r0, [r5, #56]!\n" /* TG_LOAD of the next round; behind the last
                                                                         block four words are read in vain */
                                               "ldr r1, [r4, #4]\n"
                                               "ldr r2, [r4, #8]\n"
                                               "ldr r3, [r4, #12]\n"
                                               "cmp r0, #0x80008000\n"
                                               "bgt 3b\n"
                                               "ldr r5, [sp, #56]\n"
                                               "ldr r0, [sp, #60]\n"
                                               "ldr r1, [sp, #64]\n"
                                               "ldr r2, [sp, #68]\n"
                                               "ldr r3, [sp, #0]\n"
                                               "sub r7, r7, r6\n"
                                               "sub r9, r9, r8\n"
                                               "sub r11, r11, r10\n"
                                               "sub lr, lr, r12\n"
                                               "blt 5f\n"
                                               "smmla r6, r6, r0, r5\n"
                                               "smmla r7, r7, r1, r5\n"
                                               "smmla r8, r8, r0, r5\n"
                                               "smmla r9, r9, r1, r5\n"
                                               "smmla r10, r10, r0, r5\n"
                                               "smmla r11, r11, r1, r5\n"
                                               "smmla r12, r12, r0, r5\n"
                                               "smmla lr, lr, r1, r5\n"
                                               "4:\n"
                                               "asrs r6, r6, r2\n"
                                               "asrs r7, r7, r2\n"
                                               "asr r8, r8, r2\n"
                                               "asr r9, r9, r2\n"
                                               "asr r10, r10, r2\n"
                                               "asr r11, r11, r2\n"
                                               "asr r12, r12, r2\n"
                                               "asr lr, lr, r2\n"
                                               "ssat r6, #8, r6\n"
                                               "ssat r7, #8, r7\n"
                                               "ssat r8, #8, r8\n"
                                               "ssat r9, #8, r9\n"
                                               "ssat r10, #8, r10\n"
                                               "ssat r11, #8, r11\n"
                                               "ssat r12, #8, r12\n"
                                               "ssat lr, #8, lr\n"
                                               "strb r7, [r3, #1]\n"
                                               "strb r8, [r3, #2]\n"
                                               "strb r9, [r3, #3]\n"
                                               "strb r10, [r3, #4]\n"
                                               "strb r11, [r3, #5]\n"
                                               "strb r12, [r3, #6]\n"
                                               "strb lr, [r3, #7]\n"
                                               "strb r6, [r3], #8\n"
                                               "str r3, [sp, #0]\n"
                                               "ldr r1, [sp, #4]\n"
                                               "ldr r5, [sp, #48]\n"
                                               "ldr r0, [sp, #52]\n"
                                               "cmp r3, r1\n"
                                               "bne 1b\n"
                                               "ldr r3, [sp, #72]\n"
                                               "cbz r3, 6f\n"
                                               "movs r1, #0\n"
                                               "str r1, [sp, #72]\n"
                                               "add r1, r3, #8\n"
                                               "strd r3, r1, [sp]\n"
                                               "b 1b\n"
                                               "6:\n"
                                               "mov r0, r4\n"
                                               "pop {r1-r11, pc}\n"
                                               "5:\n" /* each channel has its own multiplier */
                                               "ldr r0, [sp, #8]\n"
                                               "ldmia r0!, {r1-r3}\n"
                                               "smmla r6, r6, r1, r5\n"
                                               "smmla r7, r7, r2, r5\n"
                                               "smmla r8, r8, r3, r5\n"
                                               "ldmia r0!, {r1-r3}\n"
                                               "smmla r9, r9, r1, r5\n"
                                               "smmla r10, r10, r2, r5\n"
                                               "smmla r11, r11, r3, r5\n"
                                               "ldmia r0!, {r1-r2}\n"
                                               "smmla r12, r12, r1, r5\n"
                                               "smmla lr, lr, r2, r5\n"
                                               "str r0, [sp, #8]\n"
                                               "ldr r2, [sp, #68]\n"
                                               "ldr r3, [sp, #0]\n"
                                               "b 4b\n");
}

#pragma GCC diagnostic pop

/** n channels, a multiple of 8, in blocks of eight, and eight more for `last` unless it is NULL. Returns the end of
 * their weights. */
static TG_INLINE const int32_t *tg_dense_eights(const tg_row_t *r, const int32_t *w, const int32_t *m, int8_t *y,
                                                int32_t n, int8_t *last)
{
    const int32_t over = (int32_t)((uint32_t)r->quads % 7U);
    const int32_t entry = (over != 0) ? (7 - over) : 0;
    return tg_dense_blocks(w, y, &y[n], m, &r->x[-2 * entry], entry, r->out.offset, m[0], m[1], r->out.shift,
                           last);
}

#else

/** n channels, a multiple of 8, in blocks of eight, and eight more for `last` unless it is NULL. Returns the end of
 * their weights. */
static const int32_t *tg_dense_eights(const tg_row_t *r, const int32_t *w, const int32_t *m, int8_t *y, int32_t n,
                                      int8_t *last)
{
    static const int8_t place[8] = {1, 2, 3, 4, 0, 5, 6, 7}; /* of [input pair][channel pair] in a quad's words */
    const int32_t all = n + ((last != NULL) ? 8 : 0);
    for (int32_t c = 0; c < all; c += 8) {
        int8_t *const to = (c < n) ? &y[c] : last;
        int32_t even[4] = {w[0], w[2], w[4], w[6]};
        int32_t odd[4] = {w[1], w[3], w[5], w[7]};
        w += 8;
        for (int32_t i = 0; i < (2 * r->quads); ++i) {
            for (int32_t p = 0; p < 4; ++p) {
                const uint32_t v = (uint32_t)w[place[(4 * (i & 1)) + p]];
                odd[p] = tg_smlad(v, r->x[i], odd[p]);
                even[p] = tg_smlad(tg_sxtb16(v), r->x[i], even[p]);
            }
            w += 8 * (i & 1);
        }
        for (int32_t p = 0; p < 4; ++p) {
            odd[p] = tg_odd_raw(odd[p], even[p]);
            to[2 * p] = tg_requant_dsp(&r->out, even[p], m[2 * p]);
            to[(2 * p) + 1] = tg_requant_dsp(&r->out, odd[p], m[(2 * p) + 1]);
        }
        m += r->m_step;
    }
    return w;
}

#endif

/** The last block, of four channels. */
static TG_NOINLINE void tg_dense_four(const tg_row_t *r, const int32_t *w, const int32_t *m, int8_t y[4])
{
    const uint32_t *x = r->x;
    const uint32_t *const end = &x[2 * r->quads];
    int32_t e0 = w[0];
    int32_t o0 = w[1];
    int32_t e1 = w[2];
    int32_t o1 = w[3];
    w += 4;
    while (x != end) {
        for (int32_t i = 0; i < 2; ++i) {
            const uint32_t v0 = (uint32_t)w[0];
            const uint32_t v1 = (uint32_t)w[1];
            o0 = tg_smlad(v0, *x, o0);
            o1 = tg_smlad(v1, *x, o1);
            e0 = tg_smlad(tg_sxtb16(v0), *x, e0);
            e1 = tg_smlad(tg_sxtb16(v1), *x, e1);
            w += 2;
            ++x;
        }
    }
    tg_store_dsp(&r->out, e0, tg_odd_raw(o0, e0), e1, tg_odd_raw(o1, e1), m, y);
}

/** n < 8 outputs of a block. */
static TG_INLINE void tg_copy_part(int8_t *y, const int8_t part[8], int32_t n)
{
    if (n >= 4) {
        tg_store32(y, tg_load32(part));
        tg_store32(&y[n - 4], tg_load32(&part[n - 4])); /* both words may overlap */
    } else {
        for (int32_t i = 0; i < n; ++i) {
            y[i] = part[i];
        }
    }
}

/** Volatile, so that no STRD is made of the stores: it takes a cycle more. */
static TG_INLINE void tg_widen_quad(uint32_t v, volatile uint32_t *to)
{
    to[0] = tg_sxtb16(v);
    to[1] = tg_sxtb16_ror8(v);
}

/** n int8 as pairs of halves (0, 2), (1, 3), ... and `mark` behind them; zeros fill the last four. */
static TG_NOINLINE void tg_dense_widen(const int8_t *x, int32_t n, uint32_t *to, uint32_t mark)
{
    const int8_t *const start = x;
    for (; n >= 16; n -= 16) {
        const uint32_t v0 = tg_load32(x);
        const uint32_t v1 = tg_load32(&x[4]);
        const uint32_t v2 = tg_load32(&x[8]);
        const uint32_t v3 = tg_load32(&x[12]);
        tg_widen_quad(v0, to);
        tg_widen_quad(v1, &to[2]);
        tg_widen_quad(v2, &to[4]);
        tg_widen_quad(v3, &to[6]);
        x += 16;
        to += 8;
    }
    for (; n >= 4; n -= 4) {
        tg_widen_quad(tg_load32(x), to);
        x += 4;
        to += 2;
    }
    if (n > 0) {
        uint32_t v = 0U; /* not the next word: the input may end here */
        if (x != start) {
            v = tg_load32(&x[n - 4]) >> (8 * (4 - n));
        } else {
            for (int32_t i = n - 1; i >= 0; --i) {
                v = (v << 8) | (uint32_t)(uint8_t)x[i];
            }
        }
        tg_widen_quad(v, to);
        to += 2;
    }
    *to = mark;
}

TG_SHARED void tg_dense_s8_dsp(const tg_dense_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, const int32_t *m,
                               int16_t *scratch, int8_t *y)
{
    uint32_t *const halves = (uint32_t *)(void *)scratch;
    const int32_t n_in = (int32_t)cfg->n_in;
    const int32_t n_out = (int32_t)cfg->n_out;
    const int32_t eights = n_out & ~7;
    const int32_t rest = n_out & 7;
    const tg_row_t row = {halves, (n_in + 3) / 4, m[0], tg_output_dsp(cfg->shift, cfg->out_zp, cfg->lo, cfg->hi)};
    for (uint32_t r = 0U; r < cfg->rows; ++r) {
        const int32_t *v = w;
        tg_dense_widen(x, n_in, halves, (row.m_step == 0) ? TG_END_SHARED : TG_END_OWN);
        int8_t part[8];
        if (eights != 0) {
            v = tg_dense_eights(&row, v, &m[1], y, eights, (rest > 4) ? part : NULL);
        } else if (rest > 4) {
            (void)tg_dense_eights(&row, v, &m[1], part, 8, NULL);
        } else {
            /* four at the most */
        }
        if ((rest > 0) && (rest <= 4)) {
            tg_dense_four(&row, v, &m[1 + ((eights / 8) * row.m_step)], part);
        }
        tg_copy_part(&y[eights], part, rest);
        tg_clamp_dsp(&row.out, y, n_out);
        x += n_in;
        y += n_out;
    }
}
