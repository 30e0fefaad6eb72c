#include "tg_dense_s16.h"

#include "tg_dot_s16.h"
#include "tg_epilogue_s16.h"

TG_SHARED void tg_dense_s16(const tg_dense_s16_cfg_t *cfg, const int16_t *x, const int8_t *w, const int32_t *b,
                            const int32_t *m, void *y)
{
    const tg_output16_t out = {cfg->shift, cfg->out_zp, cfg->lo, cfg->hi, cfg->wide};
    const int32_t n_in = (int32_t)cfg->n_in;
    const int32_t n_out = (int32_t)cfg->n_out;
    const tg_runs16_t whole = {1, n_in, 0, 0};
    int32_t at = 0;
    for (uint32_t r = 0U; r < cfg->rows; ++r) {
        int32_t o = 0;
        while (o < n_out) {
            const int32_t count = ((n_out - o) >= 4) ? 4 : 1;
            int32_t acc[4] = {b[o], 0, 0, 0};
            if (count == 4) {
                acc[1] = b[o + 1];
                acc[2] = b[o + 2];
                acc[3] = b[o + 3];
                tg_dot4_s16(&whole, x, &w[o * n_in], n_in, acc);
            } else {
                acc[0] = tg_dot_s16(&whole, x, &w[o * n_in], acc[0]);
            }
            tg_epilogue_s16(&out, acc, &m[o], count, tg_output_at(&out, y, at + o));
            o += count;
        }
        x += n_in;
        at += n_out;
    }
}
