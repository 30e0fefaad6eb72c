/**
 * @file  tg_sparse.h
 * @brief Dense layers whose weights are stored without (most of) their zeros: what the sparse kernels share.
 *
 * All of a layer's weights are one stream of bytes: what the form itself needs (a table, say), then each channel's
 * number of entries in two bytes, the lower first, and its entries. A kernel goes through it once for TG_SPARSE_ROWS
 * rows of inputs, so that an entry is decoded once for several products.
 */
#ifndef TG_SPARSE_H_INCLUDED
#define TG_SPARSE_H_INCLUDED

#include "tg_dense_s8.h"
#include "tg_epilogue.h"
#include "tg_sparse_forms.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Rows at a time; eight registers do not hold more than two. */
#if TG_SMALL_CORE
#define TG_SPARSE_ROWS 2
#else
#define TG_SPARSE_ROWS 4
#endif

/**
 * acc[r] += the products of one channel's entries with row r of x, rows `step` apart.
 *
 * @param form  start of the stream
 * @param w     first entry
 * @param n     number of entries
 * @return      end of the entries
 */
typedef const int8_t *(*tg_sparse_dot_t)(const int8_t *form, const int8_t *w, int32_t n, const int8_t *x, int32_t step,
                                         int32_t acc[TG_SPARSE_MOST]);

/** y[r * step] = clamp(zp + requant(acc[r], m)), r < rows: one channel. */
static TG_NOINLINE void tg_sparse_store(const tg_output_t *out, const int32_t *acc, int32_t m, int32_t rows,
                                        int32_t step, int8_t *y)
{
    const tg_output_t o = *out; /* y might alias it */
    for (int32_t r = 0; r < rows; ++r) {
        *y = tg_requant_clamp(acc[r], m, o.shift, o.zp, o.lo, o.hi);
        y += step;
    }
}

/** The layer; `head`: bytes of the stream before the first channel; some, one: for `at_once` rows and for one. */
static TG_INLINE void tg_sparse_layer(const tg_dense_s8_cfg_t *cfg, const int8_t *x, const int8_t *w, const int32_t *b,
                                      const int32_t *m, int8_t *y, int32_t head, int32_t at_once, tg_sparse_dot_t some,
                                      tg_sparse_dot_t one)
{
    const int32_t rows = (int32_t)cfg->rows;
    const int32_t n_in = (int32_t)cfg->n_in;
    const int32_t n_out = (int32_t)cfg->n_out;
    const int32_t count = (rows < at_once) ? 1 : at_once;
    const tg_output_t out = {cfg->shift, cfg->out_zp, cfg->lo, cfg->hi};
    int32_t r = 0;
    while (r < rows) {
        const int8_t *v = &w[head];
        if ((rows - r) < count) {
            r = rows - count; /* some rows again: faster than one by one */
        }
        for (int32_t o = 0; o < n_out; ++o) {
            const int32_t n = (int32_t)((uint8_t)v[0]) + ((int32_t)((uint8_t)v[1]) << 8);
            int32_t acc[TG_SPARSE_MOST];
            for (int32_t i = 0; i < at_once; ++i) {
                acc[i] = b[o];
            }
            if (count == 1) {
                v = one(w, &v[2], n, &x[r * n_in], n_in, acc);
            } else {
                v = some(w, &v[2], n, &x[r * n_in], n_in, acc);
            }
            tg_sparse_store(&out, acc, m[o], count, n_out, &y[(r * n_out) + o]);
        }
        r += count;
    }
}

#ifdef __cplusplus
}
#endif

#endif /* TG_SPARSE_H_INCLUDED */
