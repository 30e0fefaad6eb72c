#include "tg_dense_s8.h"

#include "tg_dot_s8.h"
#include "tg_epilogue.h"

TG_SHARED void tg_dense_s8(const tg_dense_s8_cfg_t *cfg, const int8_t *x, const int8_t *w, const int32_t *b,
                           const int32_t *m, int8_t *y)
{
    const tg_output_t out = {cfg->shift, cfg->out_zp, cfg->lo, cfg->hi};
    const int32_t n_in = (int32_t)cfg->n_in;
    const int32_t n_out = (int32_t)cfg->n_out;
    const tg_runs_t whole = {1, n_in, 0, 0};
    for (uint32_t r = 0U; r < cfg->rows; ++r) {
        int32_t o = 0;
        while (o < n_out) {
            const int32_t count = ((n_out - o) >= 4) ? 4 : 1;
            int32_t acc[4];
            tg_start(acc, &b[o], count);
            if (count == 4) {
                tg_dot4_s8(&whole, x, &w[o * n_in], n_in, acc);
            } else {
                acc[0] = tg_dot_s8(&whole, x, &w[o * n_in], acc[0]);
            }
            tg_epilogue(&out, acc, &m[o], count, &y[o]);
            o += count;
        }
        x += n_in;
        y += n_out;
    }
}
