#include "tg_add_s8_dsp.h"

#include "tg_isa_dsp.h"
#include "tg_numerics.h"

#if TG_DSP_ASM

/* Four outputs of the words a and b: pairs (a, b), one SMLAD each. r4 factors, r5 c, r6 shift; r11, r12, lr scratch. */
#define TG_ADD_QUAD(a, b)                                                                                              \
    "sxtb16 r11, " a "\n"                                                                                              \
    "sxtb16 r12, " b "\n"                                                                                              \
    "sxtb16 " a ", " a ", ror #8\n"                                                                                    \
    "sxtb16 " b ", " b ", ror #8\n"                                                                                    \
    "pkhbt lr, r11, r12, lsl #16\n"                                                                                    \
    "pkhtb r11, r12, r11, asr #16\n"                                                                                   \
    "pkhbt r12, " a ", " b ", lsl #16\n"                                                                               \
    "pkhtb " a ", " b ", " a ", asr #16\n"                                                                             \
    "smlad lr, lr, r4, r5\n"                                                                                           \
    "smlad r12, r12, r4, r5\n"                                                                                         \
    "smlad r11, r11, r4, r5\n"                                                                                         \
    "smlad " a ", " a ", r4, r5\n"                                                                                     \
    "asr lr, lr, r6\n"                                                                                                 \
    "asr r12, r12, r6\n"                                                                                               \
    "asr r11, r11, r6\n"                                                                                               \
    "asr " a ", " a ", r6\n"                                                                                           \
    "ssat lr, #8, lr\n"                                                                                                \
    "ssat r12, #8, r12\n"                                                                                              \
    "ssat r11, #8, r11\n"                                                                                              \
    "ssat " a ", #8, " a "\n"                                                                                          \
    "strb r12, [r2, #1]\n"                                                                                             \
    "strb r11, [r2, #2]\n"                                                                                             \
    "strb " a ", [r2, #3]\n"                                                                                           \
    "strb lr, [r2], #4\n"

/* the assembly reads the parameters */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"

/** Eight outputs a round, until a is a_end. */
static TG_NOINLINE TG_NAKED void tg_add_eights(const int8_t *a, const int8_t *b, int8_t *y, const int8_t *a_end,
                                               uint32_t factors, int32_t c, uint32_t shift)
{
    __asm__ volatile(".syntax unified\n"
                     "push {r4-r12, lr}\n"
                     "ldr r4, [sp, #40]\n"
                     "ldr r5, [sp, #44]\n"
                     "ldr r6, [sp, #48]\n"
                     "1:\n"
                     "ldr r8, [r1, #4]\n"
                     "ldr r10, [r1], #8\n"
                     "ldr r7, [r0, #4]\n"
                     "ldr r9, [r0], #8\n" TG_ADD_QUAD("r9", "r10") TG_ADD_QUAD("r7", "r8") "cmp r0, r3\n"
                                                                                           "bne 1b\n"
                                                                                           "pop {r4-r12, pc}\n");
}

#pragma GCC diagnostic pop

#else

static void tg_add_eights(const int8_t *a, const int8_t *b, int8_t *y, const int8_t *a_end, uint32_t factors, int32_t c,
                          uint32_t shift)
{
    for (; a != a_end; a += 4) {
        const uint32_t a02 = tg_sxtb16(tg_load32(a));
        const uint32_t b02 = tg_sxtb16(tg_load32(b));
        const uint32_t a13 = tg_sxtb16_ror8(tg_load32(a));
        const uint32_t b13 = tg_sxtb16_ror8(tg_load32(b));
        y[0] = (int8_t)tg_ssat8(tg_smlad(tg_pkhbt(a02, b02), factors, c) >> shift);
        y[1] = (int8_t)tg_ssat8(tg_smlad(tg_pkhbt(a13, b13), factors, c) >> shift);
        y[2] = (int8_t)tg_ssat8(tg_smlad(tg_pkhtb(a02, b02), factors, c) >> shift);
        y[3] = (int8_t)tg_ssat8(tg_smlad(tg_pkhtb(a13, b13), factors, c) >> shift);
        b += 4;
        y += 4;
    }
}

#endif

TG_SHARED void tg_add_s8_dsp(const tg_add_s8_cfg_t *cfg, const int8_t *a, const int8_t *b, int8_t *y)
{
    const int32_t ma = cfg->ma;
    const int32_t mb = cfg->mb;
    const int32_t c = cfg->c;
    const int32_t lo = cfg->lo;
    const int32_t hi = cfg->hi;
    const uint32_t shift = cfg->shift;
    const uint32_t n = cfg->n;
    const uint32_t eights = n & ~7U;
    if (eights != 0U) {
        tg_add_eights(a, b, y, &a[eights], tg_pkhbt((uint32_t)ma, (uint32_t)mb), c, shift);
    }
    for (uint32_t i = eights; i < n; ++i) {
        y[i] = (int8_t)tg_ssat8((c + (a[i] * ma) + (b[i] * mb)) >> shift);
    }
    if ((lo > -128) || (hi < 127)) { /* rare: a rectifier ends at -128 in nearly every network */
        for (uint32_t i = 0U; i < n; ++i) {
            y[i] = (int8_t)tg_clamp(y[i], lo, hi);
        }
    }
}
