#include "tg_reduce_sum_s8_dsp.h"

#include "tg_sums_dsp.h"

TG_SHARED void tg_reduce_sum_s8_dsp(const tg_reduce_sum_s8_cfg_t *cfg, const int8_t *x, int8_t *y)
{
    const tg_mean_t k = tg_mean(cfg->shift, cfg->out_zp);
    const int32_t n = (int32_t)cfg->n;
    const int32_t inner = (int32_t)cfg->inner;
    const int32_t start = -(n * cfg->in_zp);
    const int32_t columns = (inner < 8) ? inner : 8;
    int32_t room = (int32_t)cfg->outer * n * inner;
    for (uint32_t o = 0U; o < cfg->outer; ++o) {
        for (int32_t i = 0; i < inner; i += 8) {
            const int32_t at = (i > (inner - columns)) ? (inner - columns) : i; /* the last eight may overlap */
            const int8_t *p = &x[at];
            int32_t acc[8] = {start, start, start, start, start, start, start, start};
            tg_sums_t s = {{0U, 0U, 0U, 0U}};
            for (int32_t left = n; left > 0; left -= TG_SUMS_ROWS) {
                const int32_t rows = (left < TG_SUMS_ROWS) ? left : TG_SUMS_ROWS;
                if (columns == 8) {
                    tg_sum_rows(&s, p, inner, rows);
                } else {
                    tg_sum_few(&s, p, inner, rows, columns, room - (inner * (n - left)));
                }
                tg_sums_flush(&s, acc);
                p += rows * inner;
            }
            if (cfg->even != 0U) {
                tg_means_even(&k, acc, cfg->m, n, &y[at], columns);
            } else {
                tg_means(&k, acc, cfg->m, &y[at], columns);
            }
        }
        x += n * inner;
        room -= n * inner;
        y += inner;
    }
}
