/**
 * @file  tg_norm_dsp.h
 * @brief Rows of normalised values on DSP cores, eight at a time (docs/NUMERICS.md section 10).
 */
#ifndef TG_NORM_DSP_H_INCLUDED
#define TG_NORM_DSP_H_INCLUDED

#include "tg_isa_dsp.h"
#include "tg_norm.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Rows whose factors are made together. */
#define TG_NORM_ROWS 16U

/** The shift that the assembly knows: that of all but factors of 2^14 and more. */
#define TG_NORM_SHIFT 8U

/**
 * What all values of a set are treated with: x * scale + start is 32 bits wide. It is shifted right by -down, which is
 * 0 but where eps is far above what the set holds. The assembly knows the order.
 */
typedef struct {
    uint32_t scale;
    uint32_t start;
    int32_t root;
    int32_t down;
} tg_norm_row_t;

/** As tg_norm_set; `total` with n times the zero point. */
static TG_INLINE tg_norm_row_t tg_norm_row(uint32_t n, int32_t total, uint64_t v, uint32_t down)
{
    const tg_norm_set_t set = tg_norm_set(n, total, v, down);
    const uint32_t up = (set.up > 0) ? (uint32_t)set.up : 0U;
    tg_norm_row_t row;
    row.scale = n << up;
    row.start = 0U - ((uint32_t)total << up);
    row.root = set.root;
    row.down = (set.up < 0) ? set.up : 0;
    return row;
}

/** One value with its pair of offset and factor, before the clamp. */
static TG_INLINE int32_t tg_norm_row_value(const tg_norm_row_t *row, int32_t x, const int32_t *pair, uint32_t shift)
{
    const int32_t a = (int32_t)(((uint32_t)x * row->scale) + row->start) >> -row->down;
    return tg_smmla(tg_smmul(a, row->root), pair[1], pair[0]) >> shift;
}

/** Rows of values that have the same pairs. The assembly knows the order. */
typedef struct {
    void *y;
    const void *x;
    const int32_t *w;
    uint32_t bytes; /**< of a row that are treated, not 0: eight values are the least, and the step */
    uint32_t gap;   /**< bytes from there to the next row */
    const tg_norm_row_t *row;
    uint32_t next; /**< bytes from a row's factors to the next row's: 0 where they are one set */
    uint32_t rows;
} tg_norm_rows_t;

#if TG_DSP_NAKED
/*
 * Two values of `bits` in `word`, from bits `at` and `after` on, to y (r0) by `store`, `step` bytes each.
 * r2: their pairs; r4 scale, r5 start, r6 root.
 */
#define TG_NORM_TWO(word, at, after, bits, store, step)                                                                \
    "ldmia r2!, {r9-r12}\n"                                                                                            \
    "sbfx lr, " word ", #" at ", #" bits "\n"                                                                          \
    "mla lr, lr, r4, r5\n"                                                                                             \
    "smmul lr, lr, r6\n"                                                                                               \
    "smmla r9, lr, r10, r9\n"                                                                                          \
    "sbfx lr, " word ", #" after ", #" bits "\n"                                                                       \
    "mla lr, lr, r4, r5\n"                                                                                             \
    "smmul lr, lr, r6\n"                                                                                               \
    "smmla r11, lr, r12, r11\n"                                                                                        \
    "ssat r9, #" bits ", r9, asr #8\n"                                                                                 \
    "ssat r11, #" bits ", r11, asr #8\n"                                                                               \
    store " r9, [r0], #" step "\n" store " r11, [r0], #" step "\n"

/* Two words of x (r1). */
#define TG_NORM_WORDS                                                                                                  \
    "ldr r7, [r1], #4\n"                                                                                               \
    "ldr r8, [r1], #4\n"

/* A function of a tg_norm_rows_t: `eight` values a round. s0 w, s1 bytes, s2 gap, s3 row, s4 next, s5 rows. */
#define TG_NORM_LOOPS(eight)                                                                                           \
    ".syntax unified\n"                                                                                                \
    "push {r4-r11, lr}\n"                                                                                              \
    "add r7, r0, #8\n"                                                                                                 \
    "vldmia r7, {s0-s5}\n"                                                                                             \
    "ldrd r0, r1, [r0]\n"                                                                                              \
    "1:\n"                                                                                                             \
    "vmov r7, s3\n"                                                                                                    \
    "vmov r8, s4\n"                                                                                                    \
    "ldmia r7, {r4-r6}\n"                                                                                              \
    "add r7, r8\n"                                                                                                     \
    "vmov s3, r7\n"                                                                                                    \
    "vmov r2, s0\n"                                                                                                    \
    "vmov r3, s1\n"                                                                                                    \
    "add r3, r0\n"                                                                                                     \
    "2:\n" eight "cmp r0, r3\n"                                                                                        \
    "bne 2b\n"                                                                                                         \
    "vmov r7, s2\n"                                                                                                    \
    "add r0, r7\n"                                                                                                     \
    "add r1, r7\n"                                                                                                     \
    "vmov r7, s5\n"                                                                                                    \
    "subs r7, #1\n"                                                                                                    \
    "vmov s5, r7\n"                                                                                                    \
    "bne 1b\n"                                                                                                         \
    "pop {r4-r11, pc}\n"
#endif

#ifdef __cplusplus
}
#endif

#endif /* TG_NORM_DSP_H_INCLUDED */
