#include "tg_softmax_s16_dsp.h"

#include "tg_isa_dsp.h"

/*
 * The rule of core/tg_exp2.h, (1024 * E(j) + 511 - s(j) * r) >> 10 with s(j) = E(j) - E(j+1), as a line over f, the
 * fraction of the exponent, j and r in one: a signed half. Its value at 0 is 1024 * (E(j) + j * s(j)) + 511, less
 * 65536 * s(j) from j = 32 on, where f is negative; its slope -s(j).
 */
static const int32_t tg_exp_line[64] = {
    67109375, 67101183, 67086847, 67065343, 67032575, 66991615, 66954751, 66897407, 66848255, 66774527,
    66702847, 66635263, 66549247, 66456063, 66370047, 66262527, 66164223, 66042367, 65931775, 65795583,
    65693183, 65542655, 65430015, 65265151, 65117695, 64989695, 64803327, 64665087, 64521727, 64313855,
    64160255, 64001535, 31102463, 31261183, 31414783, 31592959, 31736319, 31874559, 32034303, 32136703,
    32259583, 32377343, 32489983, 32597503, 32699903, 32777727, 32869887, 32956927, 33022463, 33099263,
    33156607, 33223167, 33272319, 33317375, 33368575, 33405439, 33438207, 33466879, 33491455, 33517055,
    33529343, 33544703, 33550847, 33554943,
};

static const int16_t tg_exp_slope[64] = {
    -706, -698, -691, -684, -676, -668, -662, -654, -648, -640, -633, -627, -620, -613, -607, -600,
    -594, -587, -581, -574, -569, -562, -557, -550, -544, -539, -532, -527, -522, -515, -510, -505,
    -499, -494, -489, -483, -478, -473, -467, -463, -458, -453, -448, -443, -438, -434, -429, -424,
    -420, -415, -411, -406, -402, -398, -393, -389, -385, -381, -377, -372, -369, -364, -361, -357,
};

/** What exponentials of a row are made of. The assembly knows the order. */
typedef struct {
    uint32_t tops; /**< the largest value, in both halves */
    uint32_t m;    /**< from a distance to an exponent to base 2 with 32 bits of fraction */
    const int32_t *line;
    const int16_t *slope;
} tg_exp_row_t;

/** An exponential less 1: -1 to 65535. */
static TG_INLINE int32_t tg_exp_less_1(const tg_exp_row_t *row, uint32_t d)
{
    const uint64_t t = (uint64_t)d * row->m;
    const uint32_t n = (uint32_t)(t >> 32);
    const uint32_t f = (uint32_t)t;
    const uint32_t j = f >> 26;
    const uint32_t v = (uint32_t)tg_smlabt((uint32_t)row->slope[j], f, row->line[j]) >> 10;
    return ((n < 18U) ? (int32_t)((v + ((1UL << n) >> 1)) >> n) : 0) - 1;
}

#if TG_DSP_ASM

/* the assembly reads the parameters */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"

/* An exponential less 1, saturated, in `e`, of the distance in r8: r9 is the exponent, then the number of binary places
 * that the value goes down; ADDS clears the carry for those that go by none. */
#define TG_EXP(e)                                                                                                      \
    "umull r8, r9, r8, r4\n"                                                                                           \
    "lsr r10, r8, #26\n"                                                                                               \
    "ldr " e ", [r5, r10, lsl #2]\n"                                                                                   \
    "ldrsh r10, [r6, r10, lsl #1]\n"                                                                                   \
    "smlabt " e ", r10, r8, " e "\n"                                                                                   \
    "adds " e ", r12, " e ", lsr #10\n"                                                                                \
    "lsrs " e ", " e ", r9\n"                                                                                          \
    "sbc " e ", " e ", #0\n"                                                                                           \
    "add lr, lr, " e "\n"                                                                                              \
    "usat " e ", #16, " e "\n"

#define TG_TWO_EXP                                                                                                     \
    "ldr r7, [r0], #4\n"                                                                                               \
    "ssub16 r7, r3, r7\n"                                                                                              \
    "uxth r8, r7\n" TG_EXP("r11") "lsr r8, r7, #16\n" TG_EXP("r7") "pkhbt r7, r11, r7, lsl #16\n"                      \
    "str r7, [r2], #4\n"

/** Exponentials less 1 of x up to `end`, four at a time, at least four; returns their sum before they are saturated. */
static TG_NOINLINE TG_NAKED int32_t tg_exp_fours(const int16_t *x, const int16_t *end, uint16_t *e,
                                                 const tg_exp_row_t *row)
{
    __asm__ volatile(".syntax unified\n"
                     "push {r4-r11, lr}\n"
                     "ldmia r3, {r3-r6}\n"
                     "mov r12, #0\n"
                     "mov lr, r12\n"
                     "1:\n" TG_TWO_EXP TG_TWO_EXP "cmp r0, r1\n"
                     "bne 1b\n"
                     "mov r0, lr\n"
                     "pop {r4-r11, pc}\n");
}

/* Two shares from the word `w`, in r6; r12 is 1. */
#define TG_TWO_SHARES(w)                                                                                               \
    "uxtah r6, r12, " w "\n"                                                                                           \
    "umull r7, r6, r6, r2\n"                                                                                           \
    "lsrs r6, r6, r3\n"                                                                                                \
    "adc r6, r6, #0\n"                                                                                                 \
    "uxtah " w ", r12, " w ", ror #16\n"                                                                               \
    "umull r7, " w ", " w ", r2\n"                                                                                     \
    "lsrs " w ", " w ", r3\n"                                                                                          \
    "adc " w ", " w ", #0\n"                                                                                           \
    "pkhbt " w ", r6, " w ", lsl #16\n"                                                                                \
    "str " w ", [r0], #4\n"

/** Exponentials less 1 up to `end`, four at a time, at least four, become their shares. */
static TG_NOINLINE TG_NAKED void tg_share_fours(uint16_t *e, const uint16_t *end, uint32_t m, uint32_t shift)
{
    __asm__ volatile(".syntax unified\n"
                     "push {r4-r7, lr}\n"
                     "mov r12, #1\n"
                     "1:\n"
                     "ldr r4, [r0]\n"
                     "ldr r5, [r0, #4]\n" TG_TWO_SHARES("r4") TG_TWO_SHARES("r5") "cmp r0, r1\n"
                     "bne 1b\n"
                     "pop {r4-r7, pc}\n");
}

#pragma GCC diagnostic pop

#endif

/** Exponentials less 1 of n values, saturated; returns the sum of all exponentials. */
static TG_INLINE uint32_t tg_exp_all(const int16_t *x, uint32_t n, const tg_exp_row_t *row, uint16_t *e)
{
    int32_t sum = 0;
    uint32_t i = 0U;
#if TG_DSP_ASM
    if (n >= 4U) {
        i = n & ~3U;
        sum = tg_exp_fours(x, &x[i], e, row);
    }
#endif
    for (; i < n; ++i) {
        const int32_t v = x[i];
        const int32_t less = tg_exp_less_1(row, (row->tops - (uint32_t)v) & 0xFFFFU);
        sum += less;
        e[i] = (uint16_t)((less < 0) ? 0 : less);
    }
    return (uint32_t)sum + n;
}

/** Of n exponentials less 1: e * m / 2^(32 + shift), rounded; shift >= 1. */
static TG_INLINE void tg_share_all(uint16_t *e, uint32_t n, uint32_t m, uint32_t shift)
{
    uint32_t i = 0U;
#if TG_DSP_ASM
    if (n >= 4U) {
        i = n & ~3U;
        tg_share_fours(e, &e[i], m, shift);
    }
#endif
    for (; i < n; ++i) {
        const uint32_t high = (uint32_t)(((uint64_t)(e[i] + 1U) * m) >> 32);
        e[i] = (uint16_t)((high + (1UL << (shift - 1U))) >> shift);
    }
}

/** The largest of n values. */
static TG_NOINLINE int32_t tg_top_of(const int16_t *x, uint32_t n)
{
    const int16_t *p = x;
    int32_t top = *x;
    if (n >= 8U) {
        uint32_t most = tg_load32(x);
        for (const int16_t *end = &x[n & ~7U]; p != end; p += 8) {
            const uint32_t a = tg_load32(p);
            const uint32_t b = tg_load32(&p[2]);
            const uint32_t c = tg_load32(&p[4]);
            const uint32_t d = tg_load32(&p[6]);
            most = tg_max16(most, a);
            most = tg_max16(most, b);
            most = tg_max16(most, c);
            most = tg_max16(most, d);
        }
        top = tg_greater16(most);
    }
    for (const int16_t *end = &x[n]; p != end; ++p) {
        top = (*p > top) ? *p : top;
    }
    return top;
}

/**
 * 2^(31 + bits) / d for 2^(bits - 1) < d <= 2^bits: up where d is even, else to the nearest. So e * it / 2^(16 + bits),
 * rounded, is the quotient of NUMERICS section 8 for every e <= 2^16.
 */
static uint32_t tg_share_factor(uint32_t d, uint32_t bits)
{
    uint32_t x = 0x80000000U; /* for 2^bits */
    if (d != (1UL << bits)) {
        const uint64_t one = (uint64_t)1 << 63;
        const uint32_t n = d << (32U - bits);
        int64_t rest;
        x = (0xFFFFFFFFU / (n >> 16)) << 15; /* to 2^-15 of itself */
        rest = (int64_t)(one - ((uint64_t)n * x));
        x += (uint32_t)(((rest >> 32) * (int64_t)x) >> 31); /* to 2^-28 */
        rest = (int64_t)(one - ((uint64_t)n * x));
        x += (uint32_t)(((rest >> 16) * (int64_t)(x >> 16)) >> 31); /* to 2 */
        rest = (int64_t)(one - ((uint64_t)n * x));
        for (; rest < 0; rest += n) {
            --x;
        }
        for (; rest >= (int64_t)n; rest -= n) {
            ++x;
        }
        x += (((d % 2U) == 0U) ? (rest > 0) : (rest > (int64_t)(n / 2U))) ? 1U : 0U;
    }
    return x;
}

TG_SHARED void tg_softmax_s16_dsp(const tg_softmax_s16_cfg_t *cfg, const int16_t *x, void *y)
{
    const tg_softmax_s16_cfg_t k = *cfg; /* a copy: y may alias anything as far as the compiler knows */
    tg_exp_row_t row = {0U, k.exp_m << (16U - k.exp_shift), tg_exp_line, tg_exp_slope};
    uint16_t *e = (uint16_t *)y;
    for (uint32_t r = 0U; r < k.rows; ++r) {
        const uint32_t top = (uint32_t)tg_top_of(x, k.n);
        uint32_t sum;
        row.tops = tg_pkhbt(top, top);
        sum = tg_exp_all(x, k.n, &row, e);
        if (sum > 65537U) {
            const uint32_t bits = 32U - tg_clz(sum - 1U);
            tg_share_all(e, k.n, tg_share_factor(sum, bits), bits - 16U);
        } else { /* one exponential is 65536, all others are 0 but perhaps one, which is 1 */
            for (uint32_t i = 0U; i < k.n; ++i) {
                e[i] = (e[i] == 65535U) ? 32767U : 0U;
            }
        }
        x += k.n;
        e += k.n;
    }
}
