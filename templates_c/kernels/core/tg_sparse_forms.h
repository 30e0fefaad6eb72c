/**
 * @file  tg_sparse_forms.h
 * @brief How weights without their zeros are stored, as C that decodes them.
 *
 * Each function adds the products of one channel's n entries, from w on, with `rows` rows of x to acc, and gives the
 * end of the entries. `form` is the start of the stream; `rows` is a constant; rows of x are `step` apart. A gap is how
 * far a weight lies behind the one before, the first behind the start of the row.
 */
#ifndef TG_SPARSE_FORMS_H_INCLUDED
#define TG_SPARSE_FORMS_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Rows that a kernel takes at a time at most. */
#define TG_SPARSE_MOST 4

/** acc[r] += v * x[r * step], r < rows; `rows` is a constant: 1, 2 or 4. */
static TG_INLINE void tg_sparse_mac(int32_t rows, const int8_t *x, int32_t step, int32_t v, int32_t *acc)
{
    acc[0] += v * x[0];
    if (rows > 1) {
        acc[1] += v * x[step];
    }
    if (rows > 2) {
        acc[2] += v * x[2 * step];
        acc[3] += v * x[3 * step];
    }
}

/** Pairs of weights: each its gap in a byte, and the weight. */
static TG_INLINE const int8_t *tg_sparse_gap8(const int8_t *form, const int8_t *w, int32_t n, const int8_t *x,
                                              int32_t step, int32_t rows, int32_t *acc)
{
    int32_t a[TG_SPARSE_MOST]; /* in registers */
    for (int32_t r = 0; r < rows; ++r) {
        a[r] = acc[r];
    }
    for (const int8_t *const end = &w[4 * n]; w != end; w += 2) {
        x += (uint8_t)w[0];
        tg_sparse_mac(rows, x, step, w[1], a);
    }
    for (int32_t r = 0; r < rows; ++r) {
        acc[r] = a[r];
    }
    (void)form;
    return w;
}

/** Pairs of weights: a byte with both gaps, the first in its lower half; the weights. */
static TG_INLINE const int8_t *tg_sparse_gap4(const int8_t *form, const int8_t *w, int32_t n, const int8_t *x,
                                              int32_t step, int32_t rows, int32_t *acc)
{
    int32_t a[TG_SPARSE_MOST]; /* in registers */
    for (int32_t r = 0; r < rows; ++r) {
        a[r] = acc[r];
    }
    for (const int8_t *const end = &w[3 * n]; w != end; w += 3) {
        const uint32_t gaps = (uint8_t)w[0];
        x += gaps & 15U;
        tg_sparse_mac(rows, x, step, w[1], a);
        x += gaps >> 4;
        tg_sparse_mac(rows, x, step, w[2], a);
    }
    for (int32_t r = 0; r < rows; ++r) {
        acc[r] = a[r];
    }
    (void)form;
    return w;
}

/** A weight is a byte: the gap in its upper half, in the lower which of the stream's first 16 bytes it is. */
static TG_INLINE const int8_t *tg_sparse_pal4(const int8_t *form, const int8_t *w, int32_t n, const int8_t *x,
                                              int32_t step, int32_t rows, int32_t *acc)
{
    int32_t a[TG_SPARSE_MOST]; /* in registers */
    for (int32_t r = 0; r < rows; ++r) {
        a[r] = acc[r];
    }
    for (const int8_t *const end = &w[n]; w != end; ++w) {
        const uint32_t v = (uint8_t)w[0];
        x += v >> 4;
        tg_sparse_mac(rows, x, step, form[v & 15U], a);
    }
    for (int32_t r = 0; r < rows; ++r) {
        acc[r] = a[r];
    }
    return w;
}

/** Blocks of four: a byte for the gap from start to start, four weights. */
static TG_INLINE const int8_t *tg_sparse_block(const int8_t *form, const int8_t *w, int32_t n, const int8_t *x,
                                               int32_t step, int32_t rows, int32_t *acc)
{
    int32_t a[TG_SPARSE_MOST]; /* in registers */
    for (int32_t r = 0; r < rows; ++r) {
        a[r] = acc[r];
    }
    for (const int8_t *const end = &w[5 * n]; w != end; w += 5) {
        x += (uint8_t)w[0];
        tg_sparse_mac(rows, x, step, w[1], a);
        tg_sparse_mac(rows, &x[1], step, w[2], a);
        tg_sparse_mac(rows, &x[2], step, w[3], a);
        tg_sparse_mac(rows, &x[3], step, w[4], a);
    }
    for (int32_t r = 0; r < rows; ++r) {
        acc[r] = a[r];
    }
    (void)form;
    return w;
}

/** form[0] of each four: a byte with the positions of four weights, two bits each from the lowest on; the weights. */
static TG_INLINE const int8_t *tg_sparse_nm(const int8_t *form, const int8_t *w, int32_t n, const int8_t *x,
                                            int32_t step, int32_t rows, int32_t *acc)
{
    int32_t a[TG_SPARSE_MOST]; /* in registers */
    for (int32_t r = 0; r < rows; ++r) {
        a[r] = acc[r];
    }
    /* from each entry to the next: four inputs on; or, with two of four, none and four in turn */
    const int32_t first = (form[0] == 1) ? 4 : 0;
    while (n > 0) {
        uint32_t at = (uint8_t)w[0];
        const int32_t here = (n < 4) ? n : 4;
        ++w;
        for (int32_t i = 0; i < here; ++i) {
            tg_sparse_mac(rows, &x[at & 3U], step, w[i], a);
            x += ((i & 1) != 0) ? 4 : first;
            at >>= 2;
        }
        w += here;
        n -= 4;
    }
    for (int32_t r = 0; r < rows; ++r) {
        acc[r] = a[r];
    }
    return w;
}

#ifdef __cplusplus
}
#endif

#endif /* TG_SPARSE_FORMS_H_INCLUDED */
