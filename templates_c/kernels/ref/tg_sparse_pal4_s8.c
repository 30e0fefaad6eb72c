#include "tg_sparse_pal4_s8.h"

#include "tg_sparse.h"

static TG_INLINE const int8_t *tg_pal4_dot(const int8_t *form, const int8_t *w, int32_t n, const int8_t *x,
                                           int32_t step, int32_t rows, int32_t *acc)
{
    int32_t a[TG_SPARSE_ROWS]; /* in registers */
    for (int32_t r = 0; r < rows; ++r) {
        a[r] = acc[r];
    }
    for (const int8_t *const end = &w[n]; w != end; ++w) {
        const uint32_t v = (uint8_t)w[0];
        x += v & 15U;
        tg_sparse_mac(rows, x, step, form[v >> 4], a);
    }
    for (int32_t r = 0; r < rows; ++r) {
        acc[r] = a[r];
    }
    return w;
}

static TG_NOINLINE const int8_t *tg_pal4_some(const int8_t *form, const int8_t *w, int32_t n, const int8_t *x,
                                              int32_t step, int32_t acc[TG_SPARSE_ROWS])
{
    return tg_pal4_dot(form, w, n, x, step, TG_SPARSE_ROWS, acc);
}

static TG_NOINLINE const int8_t *tg_pal4_one(const int8_t *form, const int8_t *w, int32_t n, const int8_t *x,
                                             int32_t step, int32_t acc[TG_SPARSE_ROWS])
{
    return tg_pal4_dot(form, w, n, x, step, 1, acc);
}

TG_SHARED void tg_sparse_pal4_s8(const tg_dense_s8_cfg_t *cfg, const int8_t *x, const int8_t *w, const int32_t *b,
                                 const int32_t *m, int8_t *y)
{
    tg_sparse_layer(cfg, x, w, b, m, y, 16, tg_pal4_some, tg_pal4_one);
}
