#include "tg_conv_s8_m0.h"

#include "tg_lanes_s8.h"

#if TG_SMALL_CORE && defined(__thumb__) && defined(__GNUC__)

TG_STATIC_ASSERT(offsetof(tg_lanes_t, sums) == 48U, fields_are_where_the_assembly_reads_them);

/* Stack: sp + 0 the words at the end of the last group and the sums of upper lanes, both of words 0, 1, then of 2, 3;
 * sp + 32 l, sp + 36 pixels. lr: the weights; r2: how many were read; r3: the window. */

/** One tap of 8 pixels: 22 bytes (TG_LANES_STEP). A product destroys the word it needs no more. */
#define TG_TAP_8                                                                                                       \
    "ldmia  r3!, {r4-r7}\n"                                                                                            \
    "ldrsb  r0, [r1, r2]\n"                                                                                            \
    "adds   r2, #1\n"                                                                                                  \
    "muls   r4, r0, r4\n"                                                                                              \
    "muls   r5, r0, r5\n"                                                                                              \
    "muls   r6, r0, r6\n"                                                                                              \
    "muls   r7, r0, r7\n"                                                                                              \
    "add    r8, r4\n"                                                                                                  \
    "add    r9, r5\n"                                                                                                  \
    "add    r10, r6\n"                                                                                                 \
    "add    r11, r7\n"

/** One tap of 4 pixels: 14 bytes. */
#define TG_TAP_4                                                                                                       \
    "ldmia  r3!, {r4, r5}\n"                                                                                           \
    "ldrsb  r0, [r1, r2]\n"                                                                                            \
    "adds   r2, #1\n"                                                                                                  \
    "muls   r4, r0, r4\n"                                                                                              \
    "muls   r5, r0, r5\n"                                                                                              \
    "add    r8, r4\n"                                                                                                  \
    "add    r9, r5\n"

/** Words a, b since the last group: the upper lane is the upper half, plus 1 (the carry, bit 15) when the lower lane
 *  is negative and borrowed. r3: where the four words of the pair lie. */
#define TG_FLUSH(a, b)                                                                                                 \
    "ldmia  r3!, {r4-r7}\n"                                                                                            \
    "mov    r0, " a "\n"                                                                                               \
    "mov    r1, " b "\n"                                                                                               \
    "subs   r4, r0, r4\n"                                                                                              \
    "asrs   r4, r4, #16\n"                                                                                             \
    "adcs   r6, r4\n"                                                                                                  \
    "subs   r5, r1, r5\n"                                                                                              \
    "asrs   r5, r5, #16\n"                                                                                             \
    "adcs   r7, r5\n"                                                                                                  \
    "subs   r3, #16\n"                                                                                                 \
    "stmia  r3!, {r0, r1, r6, r7}\n"

/** The sum in r: high (r4) and low (r5) products, r7 the bits of the low, r6 the shift, r8 rounding, r9 lo, r10 stride,
 *  r11 range; stored at r3. */
#define TG_STORE(r)                                                                                                    \
    "movs   r2, " r "\n"                                                                                               \
    "muls   r2, r4, r2\n"                                                                                              \
    "muls   " r ", r5, " r "\n"                                                                                        \
    "asrs   " r ", r7\n"                                                                                               \
    "adds   " r ", r2\n"                                                                                               \
    "add    " r ", r8\n"                                                                                               \
    "asrs   " r ", r6\n"                                                                                               \
    "cmp    " r ", r11\n"                                                                                              \
    "bls    90f\n"                                                                                                     \
    "asrs   r2, " r ", #31\n"                                                                                          \
    "mov    " r ", r11\n"                                                                                              \
    "bics   " r ", r2\n"                                                                                               \
    "90:\n"                                                                                                            \
    "add    " r ", r9\n"                                                                                               \
    "strb   " r ", [r3]\n"                                                                                             \
    "add    r3, r10\n"

/** Both pixels of the word at sp + word, its upper sum at sp + upper. */
#define TG_WORD(word, upper)                                                                                           \
    "ldr    r0, [sp, #" word "]\n"                                                                                     \
    "ldr    r1, [sp, #" upper "]\n"                                                                                    \
    "lsls   r2, r1, #16\n"                                                                                             \
    "subs   r0, r0, r2\n" TG_STORE("r0") TG_STORE("r1")

/** sums of two words from r0 to r7 */
#define TG_SUMS                                                                                                        \
    "ldmia  r0!, {r1-r4}\n"                                                                                            \
    "lsls   r5, r3, #16\n"                                                                                             \
    "subs   r1, r1, r5\n"                                                                                              \
    "lsls   r5, r4, #16\n"                                                                                             \
    "subs   r5, r2, r5\n"                                                                                              \
    "movs   r6, r4\n"                                                                                                  \
    "stmia  r7!, {r1, r3, r5, r6}\n"

static TG_NOINLINE TG_NAKED void tg_conv_channels(tg_lanes_t *l __attribute__((unused)),
                                                  int32_t pixels __attribute__((unused)))
{
    /* clang-format off */
    __asm__ volatile(
        ".syntax unified\n"
        "push   {r4-r7, lr}\n"
        "mov    r4, r8\n"
        "mov    r5, r9\n"
        "mov    r6, r10\n"
        "mov    r7, r11\n"
        "push   {r4-r7}\n"
        "sub    sp, #40\n"
        "str    r0, [sp, #32]\n"
        "str    r1, [sp, #36]\n"
        "ldr    r1, [r0, #4]\n"
        "mov    lr, r1\n"
        "movs   r2, #0\n"
        /* a channel: bias in both lanes and in the sums */
        "1:\n"
        "ldr    r7, [sp, #32]\n"
        "ldr    r6, [r7, #8]\n"
        "ldmia  r6!, {r0}\n"
        "str    r6, [r7, #8]\n"
        "ldr    r3, [r7, #0]\n"
        "lsls   r4, r0, #16\n"
        "adds   r4, r4, r0\n"
        "movs   r5, r4\n"
        "movs   r6, r0\n"
        "movs   r7, r0\n"
        "mov    r8, r4\n"
        "mov    r9, r4\n"
        "mov    r10, r4\n"
        "mov    r11, r4\n"
        "mov    r0, sp\n"
        "stmia  r0!, {r4-r7}\n"
        "stmia  r0!, {r4-r7}\n"
        "mov    r1, lr\n"
        "ldr    r0, [sp, #36]\n"
        "cmp    r0, #8\n"
        "beq    2f\n"
        "b      3f\n"
        /* groups of taps of 8 pixels; pc reads as the jump plus 4 */
        "2:\n"
        "ldrb   r0, [r1, r2]\n"
        "adds   r2, #1\n"
        "add    pc, r0\n"
        "nop\n"
        "b      5f\n"
        ".space 20\n"
        ".rept 11\n"
        TG_TAP_8
        ".endr\n"
        "mov    r12, r3\n"
        "mov    r3, sp\n"
        TG_FLUSH("r8", "r9") TG_FLUSH("r10", "r11")
        "mov    r3, r12\n"
        "mov    r1, lr\n"
        "b      2b\n"
        /* of 4 pixels: 163 / 256 = 14 / 22 */
        "3:\n"
        "movs   r6, #163\n"
        "ldrb   r0, [r1, r2]\n"
        "adds   r2, #1\n"
        "muls   r0, r6, r0\n"
        "lsrs   r0, r0, #8\n"
        "add    pc, r0\n"
        "nop\n"
        "b      5f\n"
        ".space 12\n"
        ".rept 11\n"
        TG_TAP_4
        ".endr\n"
        "mov    r12, r3\n"
        "mov    r3, sp\n"
        TG_FLUSH("r8", "r9")
        "mov    r3, r12\n"
        "mov    r1, lr\n"
        "b      3b\n"
        /* the end of a channel */
        "5:\n"
        "mov    r12, r2\n"
        "ldr    r7, [sp, #32]\n"
        "ldr    r0, [r7, #40]\n"
        "cmp    r0, #0\n"
        "bne    6f\n"
        "mov    r0, sp\n"
        "adds   r7, #48\n"
        TG_SUMS
        TG_SUMS
        "b      8f\n"
        "6:\n"
        "ldr    r1, [r7, #12]\n"
        "ldmia  r1!, {r5}\n"
        "str    r1, [r7, #12]\n"
        "ldr    r3, [r7, #16]\n"
        "adds   r1, r3, #1\n"
        "str    r1, [r7, #16]\n"
        "asrs   r4, r5, #16\n"
        "sxth   r5, r5\n"
        "ldr    r6, [r7, #44]\n"
        "adds   r7, #24\n"
        "ldmia  r7!, {r0-r2}\n"
        "mov    r8, r0\n"
        "mov    r9, r1\n"
        "mov    r10, r2\n"
        "ldmia  r7, {r0, r7}\n"
        "mov    r11, r0\n"
        TG_WORD("0", "8") TG_WORD("4", "12")
        "ldr    r0, [sp, #36]\n"
        "cmp    r0, #8\n"
        "beq    7f\n"
        "b      8f\n"
        "7:\n"
        TG_WORD("16", "24") TG_WORD("20", "28")
        "8:\n"
        "ldr    r7, [sp, #32]\n"
        "mov    r2, r12\n"
        "ldr    r0, [r7, #20]\n"
        "subs   r0, #1\n"
        "str    r0, [r7, #20]\n"
        "beq    9f\n"
        "b      1b\n"
        "9:\n"
        "mov    r1, lr\n"
        "adds   r1, r1, r2\n"
        "str    r1, [r7, #4]\n"
        "add    sp, #40\n"
        "pop    {r4-r7}\n"
        "mov    r8, r4\n"
        "mov    r9, r5\n"
        "mov    r10, r6\n"
        "mov    r11, r7\n"
        "pop    {r4-r7, pc}\n");
    /* clang-format on */
}

#else

/** The assembly's arithmetic in C. */
static TG_NOINLINE void tg_conv_channels(tg_lanes_t *l, int32_t pixels)
{
    for (; l->channels > 0; --l->channels) {
        tg_lanes_sums(l, pixels);
        if (l->fast != 0) {
            const int32_t high = l->m[0] >> 16;
            const int32_t low = (int16_t)(uint16_t)((uint32_t)l->m[0] & 0xFFFFU);
            for (int32_t i = 0; i < pixels; ++i) {
                const int32_t v = (l->sums[i] * high) + ((l->sums[i] * low) >> l->fast);
                l->y[i * l->stride] = tg_lanes_clamp(l, (v + l->rounding) >> l->shift);
            }
            ++l->m;
            ++l->y;
        }
    }
}

#endif

TG_SHARED void tg_conv_s8_m0(const tg_conv_s8_cfg_t *cfg, const int8_t *x, const int8_t *w, const int32_t *b,
                             const int32_t *m, int16_t *scratch, int8_t *y)
{
    int32_t *const window = (int32_t *)(void *)scratch;
    tg_lanes_t l = tg_lanes_layer(cfg, window, w, b, &m[1]);
    if (m[0] != 0) {
        l.fast = m[0];
        tg_lanes_round(cfg, &l, (cfg->shift - 8) - m[0]);
    }
    tg_lanes_conv(cfg, x, &l, window, y, tg_conv_channels);
}
