#include "tg_dense_pal_s8.h"

#include "tg_epilogue.h"
#include "tg_palette.h"

TG_SHARED void tg_dense_pal_s8(const tg_dense_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, const int8_t *table,
                               const int32_t *b, const int32_t *m, int8_t *y)
{
    const tg_output_t out = {cfg->shift, cfg->out_zp, cfg->lo, cfg->hi};
    const int32_t n_in = (int32_t)cfg->n_in;
    const int32_t n_out = (int32_t)cfg->n_out;
    const int32_t rows = (int32_t)cfg->rows;
    tg_palette_t p = tg_palette(table);
    int32_t words = 0;
    for (int32_t left = n_in; left > 0; left -= p.count) {
        ++words;
    }
    for (int32_t r = 0; r < rows; r += 2) {
        const int32_t count = ((r + 1) < rows) ? 2 : 1;
        const int32_t *v = w;
        for (int32_t o = 0; o < n_out; ++o) {
            int32_t acc[2] = {b[o], b[o]};
            v = tg_palette_start(&p, v, words);
            if (count == 2) {
                tg_palette_dot2(&p, x, &x[n_in], n_in, acc);
            } else {
                acc[0] = tg_palette_dot(&p, x, 1, n_in, acc[0]);
            }
            for (int32_t j = 0; j < count; ++j) {
                tg_epilogue(&out, &acc[j], &m[o], 1, &y[(j * n_out) + o]);
            }
        }
        x += count * n_in;
        y += count * n_out;
    }
}
