/**
 * @file  tg_palette.h
 * @brief Weights of few values, kept as indices of 1 to 6 bits into a table, and decoded as they are used.
 */
#ifndef TG_PALETTE_H_INCLUDED
#define TG_PALETTE_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A reader of indices: words of 32 / width of them, the first in the lowest bits. */
typedef struct {
    const int8_t *values; /**< of the weights, by index */
    const int32_t *w;     /**< the next word */
    uint32_t bits;        /**< what is left of the current one */
    int32_t left;         /**< indices in it */
    uint32_t width;       /**< bits of an index */
    int32_t count;        /**< indices of a word */
} tg_palette_t;

/** table: the width, then the values. */
static inline tg_palette_t tg_palette(const int8_t *table)
{
    static const uint8_t counts[7] = {0U, 32U, 16U, 10U, 8U, 6U, 5U}; /* Cortex-M0 has no division */
    const tg_palette_t p = {&table[1], NULL, 0U, 0, (uint32_t)(uint8_t)table[0], counts[table[0]]};
    return p;
}

/** The weights of a channel begin with a word; gives where those of the next one do. */
static inline const int32_t *tg_palette_start(tg_palette_t *p, const int32_t *w, int32_t words)
{
    p->w = w;
    p->left = 0;
    return &w[words];
}

/** acc + the next n weights times x, `step` (0 or 1) bytes apart. */
static TG_NOINLINE int32_t tg_palette_dot(tg_palette_t *p, const int8_t *x, int32_t step, int32_t n, int32_t acc)
{
    const int8_t *const values = p->values;
    const uint32_t width = p->width;
    const uint32_t mask = ((uint32_t)1U << width) - 1U;
    const int32_t *w = p->w;
    uint32_t bits = p->bits;
    int32_t left = p->left;
    while (n > 0) {
        if (left == 0) {
            bits = (uint32_t)*w;
            ++w;
            left = p->count;
        }
        int32_t some = (n < left) ? n : left;
        n -= some;
        left -= some;
        for (; some > 0; --some) {
            acc += values[bits & mask] * *x;
            bits >>= width;
            x += step;
        }
    }
    p->w = w;
    p->bits = bits;
    p->left = left;
    return acc;
}

/** acc[0] and acc[1] += the next n weights times x0 and x1: a weight is decoded once. */
static TG_NOINLINE void tg_palette_dot2(tg_palette_t *p, const int8_t *x0, const int8_t *x1, int32_t n, int32_t acc[2])
{
    const int8_t *const values = p->values;
    const uint32_t width = p->width;
    const uint32_t mask = ((uint32_t)1U << width) - 1U;
    const int32_t *w = p->w;
    uint32_t bits = p->bits;
    int32_t left = p->left;
    int32_t a0 = acc[0];
    int32_t a1 = acc[1];
    while (n > 0) {
        if (left == 0) {
            bits = (uint32_t)*w;
            ++w;
            left = p->count;
        }
        int32_t some = (n < left) ? n : left;
        n -= some;
        left -= some;
        for (; some > 0; --some) {
            const int32_t v = values[bits & mask];
            bits >>= width;
            a0 += v * *x0;
            a1 += v * *x1;
            ++x0;
            ++x1;
        }
    }
    p->w = w;
    p->bits = bits;
    p->left = left;
    acc[0] = a0;
    acc[1] = a1;
}

#ifdef __cplusplus
}
#endif

#endif /* TG_PALETTE_H_INCLUDED */
