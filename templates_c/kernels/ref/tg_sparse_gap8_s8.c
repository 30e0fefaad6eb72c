#include "tg_sparse_gap8_s8.h"

#include "tg_sparse.h"

static TG_NOINLINE const int8_t *tg_gap8_some(const int8_t *form, const int8_t *w, int32_t n, const int8_t *x,
                                              int32_t step, int32_t acc[TG_SPARSE_MOST])
{
    return tg_sparse_gap8(form, w, n, x, step, TG_SPARSE_ROWS, acc);
}

static TG_NOINLINE const int8_t *tg_gap8_one(const int8_t *form, const int8_t *w, int32_t n, const int8_t *x,
                                             int32_t step, int32_t acc[TG_SPARSE_MOST])
{
    return tg_sparse_gap8(form, w, n, x, step, 1, acc);
}

TG_SHARED void tg_sparse_gap8_s8(const tg_dense_s8_cfg_t *cfg, const int8_t *x, const int8_t *w, const int32_t *b,
                                 const int32_t *m, int8_t *y)
{
    tg_sparse_layer(cfg, x, w, b, m, y, 0, TG_SPARSE_ROWS, tg_gap8_some, tg_gap8_one);
}
