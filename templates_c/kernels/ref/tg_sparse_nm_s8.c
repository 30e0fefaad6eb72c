#include "tg_sparse_nm_s8.h"

#include "tg_sparse.h"

static TG_INLINE const int8_t *tg_nm_dot(const int8_t *form, const int8_t *w, int32_t n, const int8_t *x, int32_t step,
                                         int32_t rows, int32_t *acc)
{
    int32_t a[TG_SPARSE_ROWS]; /* in registers */
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

static TG_NOINLINE const int8_t *tg_nm_some(const int8_t *form, const int8_t *w, int32_t n, const int8_t *x,
                                            int32_t step, int32_t acc[TG_SPARSE_ROWS])
{
    return tg_nm_dot(form, w, n, x, step, TG_SPARSE_ROWS, acc);
}

static TG_NOINLINE const int8_t *tg_nm_one(const int8_t *form, const int8_t *w, int32_t n, const int8_t *x,
                                           int32_t step, int32_t acc[TG_SPARSE_ROWS])
{
    return tg_nm_dot(form, w, n, x, step, 1, acc);
}

TG_SHARED void tg_sparse_nm_s8(const tg_dense_s8_cfg_t *cfg, const int8_t *x, const int8_t *w, const int32_t *b,
                               const int32_t *m, int8_t *y)
{
    tg_sparse_layer(cfg, x, w, b, m, y, 1, tg_nm_some, tg_nm_one);
}
