#include "tg_conv_s8_m3.h"

#include "tg_lanes_s8.h"

#if defined(__ARM_ARCH_7M__) && defined(__thumb2__) && defined(__GNUC__)

TG_STATIC_ASSERT(offsetof(tg_lanes_t, sums) == 48U, fields_are_where_the_assembly_reads_them);

/* Stack: sp + 0 the sums of words 0..3 modulo 2^32, sp + 16 those of the upper lanes 0..2 (3: r12 until the end of the
 * channel, then sp + 28); sp + 32 l, sp + 36 pixels, sp + 40 where the channel's weights begin. r1: weights;
 * r2: window. r3 is 2^15: a group's lower lane starts there and never borrows. */

/** A tap of 8 pixels: 22 bytes (TG_LANES_STEP); the first of a group starts the sums of the lanes. */
#define TG_TAP_8(w, s0, s1, s2, s3)                                                                                    \
    "ldrsb.w " w ", [r1], #1\n"                                                                                        \
    "ldmia  r2!, {r4-r7}\n"                                                                                            \
    "mla    r8, r4, " w ", " s0 "\n"                                                                                   \
    "mla    r9, r5, " w ", " s1 "\n"                                                                                   \
    "mla    r10, r6, " w ", " s2 "\n"                                                                                  \
    "mla    r11, r7, " w ", " s3 "\n"

/** A tap of 4 pixels: 14 bytes. */
#define TG_TAP_4(w, s0, s1)                                                                                            \
    "ldrsb.w " w ", [r1], #1\n"                                                                                        \
    "ldmia  r2!, {r4, r5}\n"                                                                                           \
    "mla    r8, r4, " w ", " s0 "\n"                                                                                   \
    "mla    r9, r5, " w ", " s1 "\n"

/** The sum in r: r4 multiplier, r5 rounding, r6 shift, r8 lo, r3 stride; stored at r2. */
#define TG_STORE(r)                                                                                                    \
    "smull  r11, r12, " r ", r4\n"                                                                                     \
    "adds   r1, r12, r5\n"                                                                                             \
    "asrs   r1, r6\n"                                                                                                  \
    "usat   r1, #8, r1\n"                                                                                              \
    "add    r1, r8\n"                                                                                                  \
    "strb   r1, [r2]\n"                                                                                                \
    "add    r2, r3\n"

/** r9, r10: the sums of both pixels of the word at sp + word; r0: what the start at 2^15 added. */
#define TG_WORD(word, upper)                                                                                           \
    "ldr    r9, [sp, #" word "]\n"                                                                                     \
    "ldr    r10, [sp, #" upper "]\n"                                                                                   \
    "sub    r9, r9, r10, lsl #16\n"                                                                                    \
    "sub    r9, r9, r0\n"

static TG_NOINLINE TG_NAKED void tg_conv_channels(tg_lanes_t *l __attribute__((unused)),
                                                  int32_t pixels __attribute__((unused)))
{
    /* clang-format off */
    __asm__ volatile(
        ".syntax unified\n"
        "push   {r4-r11, lr}\n"
        "sub    sp, #44\n"
        "str    r0, [sp, #32]\n"
        "str    r1, [sp, #36]\n"
        "ldr    r1, [r0, #4]\n"
        /* a channel: bias in both lanes and in the sums */
        "1:\n"
        "str    r1, [sp, #40]\n"
        "ldr    r0, [sp, #32]\n"
        "ldr    r2, [r0, #0]\n"
        "ldr    r4, [r0, #8]\n"
        "ldr    r12, [r4], #4\n"
        "str    r4, [r0, #8]\n"
        "add    r4, r12, r12, lsl #16\n"
        "mov    r0, r4\n"
        "mov    r5, r4\n"
        "mov    r6, r4\n"
        "mov    r7, r12\n"
        "mov    lr, r12\n"
        "stmia.w sp, {r0, r4-r7, lr}\n"
        "str    r12, [sp, #24]\n"
        "movw   r3, #0x8000\n"
        "ldr    r0, [sp, #36]\n"
        "cmp    r0, #8\n"
        "bne.w  3f\n"
        /* groups of taps of 8 pixels; pc reads as the jump plus 4 */
        "2:\n"
        "ldrb   r0, [r1], #1\n"
        "cbz    r0, 20f\n"
        TG_TAP_8("lr", "r3", "r3", "r3", "r3")
        "add    pc, r0\n"
        "20:\n"
        "b.n    5f\n"
        ".space 22\n"
        ".rept 10\n"
        TG_TAP_8("r0", "r8", "r9", "r10", "r11")
        ".endr\n"
        "ldmia.w sp, {r0, r4-r7, lr}\n"
        "add    r0, r8\n"
        "add    r4, r9\n"
        "add    r5, r10\n"
        "add    r6, r11\n"
        "add    r7, r7, r8, asr #16\n"
        "add    lr, lr, r9, asr #16\n"
        "stmia.w sp, {r0, r4-r7, lr}\n"
        "ldr    r0, [sp, #24]\n"
        "add    r0, r0, r10, asr #16\n"
        "str    r0, [sp, #24]\n"
        "add    r12, r12, r11, asr #16\n"
        "b      2b\n"
        /* of 4 pixels: 163 / 256 = 14 / 22 */
        "3:\n"
        "ldrb   r0, [r1], #1\n"
        "cbz    r0, 30f\n"
        TG_TAP_4("lr", "r3", "r3")
        "movs   r4, #163\n"
        "muls   r0, r4, r0\n"
        "lsrs   r0, r0, #8\n"
        "add    pc, r0\n"
        "30:\n"
        "b.n    5f\n"
        ".space 14\n"
        ".rept 10\n"
        TG_TAP_4("r0", "r8", "r9")
        ".endr\n"
        "ldrd   r4, r5, [sp]\n"
        "ldrd   r6, r7, [sp, #16]\n"
        "add    r4, r8\n"
        "add    r5, r9\n"
        "add    r6, r6, r8, asr #16\n"
        "add    r7, r7, r9, asr #16\n"
        "strd   r4, r5, [sp]\n"
        "strd   r6, r7, [sp, #16]\n"
        "b      3b\n"
        /* the end of a channel; groups = bytes read - taps - 1, and a tap takes 2 bytes a pixel */
        "5:\n"
        "str    r12, [sp, #28]\n"
        "ldr    r12, [sp, #32]\n"
        "str    r1, [r12, #4]\n"
        "ldr    r0, [sp, #40]\n"
        "subs   r0, r1, r0\n"
        "subs   r0, #1\n"
        "ldr    r4, [r12, #0]\n"
        "subs   r4, r2, r4\n"
        "lsrs   r4, r4, #3\n"
        "ldr    r5, [sp, #36]\n"
        "lsrs   r5, r5, #3\n"
        "lsrs   r4, r5\n"
        "subs   r0, r0, r4\n"
        "lsls   r0, r0, #15\n"
        "ldr    r1, [r12, #40]\n"
        "cbnz   r1, 6f\n"
        "add    r12, #48\n"
        TG_WORD("0", "16")
        "stmia  r12!, {r9, r10}\n"
        TG_WORD("4", "20")
        "stmia  r12!, {r9, r10}\n"
        TG_WORD("8", "24")
        "stmia  r12!, {r9, r10}\n"
        TG_WORD( "12", "28")
        "stmia  r12!, {r9, r10}\n"
        "b      8f\n"
        "6:\n"
        "ldrd   r1, r2, [r12, #12]\n"
        "ldr    r4, [r1], #4\n"
        "add    r3, r2, #1\n"
        "strd   r1, r3, [r12, #12]\n"
        "ldr    r5, [r12, #24]\n"
        "ldr    r8, [r12, #28]\n"
        "ldr    r3, [r12, #32]\n"
        "ldr    r6, [r12, #44]\n"
        TG_WORD("0", "16") TG_STORE("r9") TG_STORE("r10") TG_WORD("4", "20") TG_STORE("r9") TG_STORE("r10")
        "ldr    r1, [sp, #36]\n"
        "cmp    r1, #8\n"
        "bne    8f\n"
        TG_WORD( "8", "24") TG_STORE("r9") TG_STORE("r10") TG_WORD("12", "28") TG_STORE("r9") TG_STORE("r10")
        "8:\n"
        "ldr    r0, [sp, #32]\n"
        "ldr    r1, [r0, #4]\n"
        "ldr    r2, [r0, #20]\n"
        "subs   r2, #1\n"
        "str    r2, [r0, #20]\n"
        "bne.w  1b\n"
        "add    sp, #44\n"
        "pop    {r4-r11, pc}\n");
    /* clang-format on */
}

#else

/** The assembly's arithmetic in C. */
static TG_NOINLINE void tg_conv_channels(tg_lanes_t *l, int32_t pixels)
{
    for (; l->channels > 0; --l->channels) {
        tg_lanes_sums(l, pixels);
        if (l->fast != 0) {
            for (int32_t i = 0; i < pixels; ++i) {
                const int32_t v = tg_mul_high_wide(l->sums[i], l->m[0]) + l->rounding;
                l->y[i * l->stride] = tg_lanes_clamp(l, v >> l->shift);
            }
            ++l->m;
            ++l->y;
        }
    }
}

#endif

TG_SHARED void tg_conv_s8_m3(const tg_conv_s8_cfg_t *cfg, const int8_t *x, const int8_t *w, const int32_t *b,
                             const int32_t *m, int16_t *scratch, int8_t *y)
{
    int32_t *const window = (int32_t *)(void *)scratch;
    tg_lanes_t l = tg_lanes_layer(cfg, window, w, b, m);
    if ((cfg->shift >= 33U) && (cfg->shift <= 54U) && (l.range == 255)) {
        l.fast = 1;
        tg_lanes_round(cfg, &l, cfg->shift - 32);
    }
    tg_lanes_conv(cfg, x, &l, window, y, tg_conv_channels);
}
