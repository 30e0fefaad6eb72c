#include "tg_add_s8_dsp.h"

#include "tg_isa_dsp.h"
#include "tg_numerics.h"

#if TG_DSP_ASM

/*
 * Four outputs: each byte in the high half of a half-word, so SMLAW's (factor * 256) * (byte * 256) >> 16 is exact.
 * r4, r5 factors times 256, r6 c, r7 shift, r8 0xFF00FF00; r9..r12, lr scratch.
 */
#define TG_ADD_QUAD                                                                                                    \
    "ldr r9, [r0], #4\n"                                                                                               \
    "ldr r10, [r1], #4\n"                                                                                              \
    "and r11, r8, r9, lsl #8\n"                                                                                        \
    "and r12, r8, r10, lsl #8\n"                                                                                       \
    "and r9, r9, r8\n"                                                                                                 \
    "and r10, r10, r8\n"                                                                                               \
    "smlawb lr, r4, r11, r6\n"                                                                                         \
    "smlawt r11, r4, r11, r6\n"                                                                                        \
    "smlawb lr, r5, r12, lr\n"                                                                                         \
    "smlawt r11, r5, r12, r11\n"                                                                                       \
    "smlawb r12, r4, r9, r6\n"                                                                                         \
    "smlawt r9, r4, r9, r6\n"                                                                                          \
    "smlawb r12, r5, r10, r12\n"                                                                                       \
    "smlawt r9, r5, r10, r9\n"                                                                                         \
    "asr lr, lr, r7\n"                                                                                                 \
    "asr r12, r12, r7\n"                                                                                               \
    "asr r11, r11, r7\n"                                                                                               \
    "asr r9, r9, r7\n"                                                                                                 \
    "ssat lr, #8, lr\n"                                                                                                \
    "ssat r12, #8, r12\n"                                                                                              \
    "ssat r11, #8, r11\n"                                                                                              \
    "ssat r9, #8, r9\n"                                                                                                \
    "strb r12, [r2, #1]\n"                                                                                             \
    "strb r11, [r2, #2]\n"                                                                                             \
    "strb r9, [r2, #3]\n"                                                                                              \
    "strb lr, [r2], #4\n"

/* the assembly reads the parameters */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"

/** Eight outputs a round, until a is a_end. */
static TG_NOINLINE TG_NAKED void tg_add_eights(const int8_t *a, const int8_t *b, int8_t *y, const int8_t *a_end,
                                               int32_t ma, int32_t mb, int32_t c, uint32_t shift)
{
    __asm__ volatile(".syntax unified\n"
                     "push {r4-r12, lr}\n"
                     "ldr r4, [sp, #40]\n"
                     "ldr r5, [sp, #44]\n"
                     "ldr r6, [sp, #48]\n"
                     "ldr r7, [sp, #52]\n"
                     "mov r8, #0xFF00FF00\n"
                     "lsl r4, r4, #8\n"
                     "lsl r5, r5, #8\n"
                     "1:\n" TG_ADD_QUAD TG_ADD_QUAD "cmp r0, r3\n"
                     "bne 1b\n"
                     "pop {r4-r12, pc}\n");
}

#pragma GCC diagnostic pop

#else

static void tg_add_eights(const int8_t *a, const int8_t *b, int8_t *y, const int8_t *a_end, int32_t ma, int32_t mb,
                          int32_t c, uint32_t shift)
{
    while (a != a_end) {
        *y = (int8_t)tg_ssat8((c + (*a * ma) + (*b * mb)) >> shift);
        ++a;
        ++b;
        ++y;
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
        tg_add_eights(a, b, y, &a[eights], ma, mb, c, shift);
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
