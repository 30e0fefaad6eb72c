#include "tg_norm_s8_dsp.h"

#include "tg_isa_dsp.h"
#include "tg_norm.h"

/** Sum of n values; adds their squares to *squares, which stay below 2^32. */
static int32_t tg_row_sums(const int8_t *x, uint32_t n, uint32_t *squares)
{
    int32_t total = 0;
    int32_t square = 0;
    uint32_t i = 0U;
    for (; (i + 4U) <= n; i += 4U) {
        const uint32_t v = tg_load32(&x[i]);
        const uint32_t even = tg_sxtb16(v);
        const uint32_t odd = tg_sxtb16_ror8(v);
        total = tg_smlad(even, 0x00010001U, total);
        square = tg_smlad(even, even, square);
        total = tg_smlad(odd, 0x00010001U, total);
        square = tg_smlad(odd, odd, square);
    }
    for (; i < n; ++i) {
        total += x[i];
        square += x[i] * x[i];
    }
    *squares = (uint32_t)square; /* n <= 4096: 2^26 at most */
    return total;
}

/** What all values of a row are treated with: x * scale + start is 32 bits wide. */
typedef struct {
    uint32_t scale;
    uint32_t start;
    int32_t root;
    int32_t shift;
} tg_row_norm_t;

/** One value with its pair of offset and factor. */
static TG_INLINE int32_t tg_row_value(const tg_row_norm_t *k, int32_t x, const int32_t *pair)
{
    const int32_t a = (int32_t)(((uint32_t)x * k->scale) + k->start);
    return tg_ssat8(tg_smmla(tg_smmul(a, k->root), pair[1], pair[0]) >> k->shift);
}

#if TG_DSP_NAKED

/* the assembly reads the parameters */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"

/* Two values from byte `at` of r8 on, with their pairs r9..r12: r4 scale, r5 start, r6 root, r7 shift. */
#define TG_TWO(at, next, first, second)                                                                                \
    "ldmia r2!, {r9-r12}\n"                                                                                            \
    "sbfx lr, r8, #" at ", #8\n"                                                                                       \
    "mla lr, lr, r4, r5\n"                                                                                             \
    "smmul lr, lr, r6\n"                                                                                               \
    "smmla r9, lr, r10, r9\n"                                                                                          \
    "sbfx lr, r8, #" next ", #8\n"                                                                                     \
    "mla lr, lr, r4, r5\n"                                                                                             \
    "smmul lr, lr, r6\n"                                                                                               \
    "smmla r11, lr, r12, r11\n"                                                                                        \
    "asr r9, r9, r7\n"                                                                                                 \
    "asr r11, r11, r7\n"                                                                                               \
    "ssat r9, #8, r9\n"                                                                                                \
    "ssat r11, #8, r11\n"                                                                                              \
    "strb r9, [r0, #" first "]\n"                                                                                      \
    "strb r11, [r0, #" second "]\n"

/** Four values at a time, at least four, up to y_end. */
static TG_NOINLINE TG_NAKED void tg_norm_fours(int8_t *y, const int8_t *y_end, const int32_t *w,
                                               const tg_row_norm_t *k, const int8_t *x)
{
    __asm__ volatile(".syntax unified\n"
                     "push {r4-r11, lr}\n"
                     "ldmia r3, {r4-r7}\n"
                     "ldr r3, [sp, #36]\n"
                     "1:\n"
                     "ldr r8, [r3], #4\n" TG_TWO("0", "8", "0", "1") TG_TWO("16", "24", "2", "3")
                     "adds r0, #4\n"
                     "cmp r0, r1\n"
                     "bne 1b\n"
                     "pop {r4-r11, pc}\n");
}

#pragma GCC diagnostic pop

#else

static void tg_norm_fours(int8_t *y, const int8_t *y_end, const int32_t *w, const tg_row_norm_t *k, const int8_t *x)
{
    for (; y < y_end; ++y) {
        *y = (int8_t)tg_row_value(k, *x, w);
        ++x;
        w += 2;
    }
}

#endif

/** A row: four values at a time, then those that are left. */
static void tg_norm_row(const tg_row_norm_t *k, const int8_t *x, const int32_t *w, uint32_t n, int8_t *y)
{
    const uint32_t fours = n & ~3U;
    if (fours > 0U) {
        tg_norm_fours(y, &y[fours], w, k, x);
    }
    for (uint32_t i = fours; i < n; ++i) {
        y[i] = (int8_t)tg_row_value(k, x[i], &w[2U * i]);
    }
}

TG_SHARED void tg_norm_s8_dsp(const tg_norm_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, int8_t *y)
{
    const tg_norm_s8_cfg_t k = *cfg; /* a copy: y may alias anything as far as the compiler knows */
    const uint64_t add = ((uint64_t)k.add_high << 32) | k.add_low;
    const int32_t n = (int32_t)k.width;
    tg_row_norm_t row;
    row.shift = (int32_t)k.shift;
    for (uint32_t o = 0U; o < k.outer; ++o) {
        uint32_t squares;
        const int32_t plain = tg_row_sums(x, k.width, &squares);
        const int32_t total = (k.centre != 0U) ? plain : 0;
        tg_norm_set_t set;
        uint64_t v;
        /* the zero point, 0 where the mean goes: sum of (x - zp)^2 = squares - 2 * zp * sum + n * zp^2 */
        squares += (uint32_t)((n * k.in_zp * k.in_zp) - (2 * k.in_zp * plain));
        v = ((uint64_t)k.width * squares) - (uint64_t)((int64_t)total * total);
        if (k.floor != 0U) {
            v = (v > add) ? v : add;
        } else {
            v += add;
        }
        set = tg_norm_set(k.width, total, v, k.down);
        if (set.up >= 0) {
            row.scale = k.width << set.up;
            row.start = 0U - ((uint32_t)(total + (n * k.in_zp)) << set.up);
            row.root = set.root;
            tg_norm_row(&row, x, w, k.width, y);
        } else { /* eps is far above what the row holds */
            for (uint32_t i = 0U; i < k.width; ++i) {
                const int32_t z = tg_norm_value(&set, x[i] - k.in_zp);
                y[i] = (int8_t)tg_ssat8((w[2U * i] + tg_mul_high(z, w[(2U * i) + 1U])) >> k.shift);
            }
        }
        x += k.width;
        y += k.width;
    }
}
