#include "tg_rows_s8_dsp.h"

#include <string.h>

#include "tg_epilogue_dsp.h"
#include "tg_window.h"

/** The windows of four pixels at the border, with the zero point where they are outside, rows as far apart as in x. */
static TG_NOINLINE void tg_border(const tg_rows_s8_cfg_t *cfg, const int8_t *x, int32_t iy, int32_t ix, int8_t *edge)
{
    const int32_t in_c = cfg->in_c;
    const int32_t row = cfg->in_w * in_c;
    const int32_t cols = (3 * cfg->stride_w) + cfg->k_w;
    const tg_taps_t inside = tg_taps_inside(ix, cfg->in_w, cols, 1);
    for (int32_t ky = 0; ky < cfg->k_h; ++ky) {
        const int32_t y = iy + (ky * cfg->dil_h);
        int8_t *const to = &edge[ky * cfg->dil_h * row];
        (void)memset(to, cfg->in_zp, (size_t)(cols * in_c));
        if (((uint32_t)y < cfg->in_h) && (inside.end > inside.first)) {
            (void)memcpy(&to[inside.first * in_c], &x[(y * row) + ((ix + inside.first) * in_c)],
                         (size_t)((inside.end - inside.first) * in_c));
        }
    }
}

TG_SHARED void tg_rows_s8_dsp(const tg_rows_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, int16_t *scratch,
                              int8_t *y)
{
    const tg_output_dsp_t o = tg_output_dsp(cfg->shift, cfg->out_zp, cfg->lo, cfg->hi);
    const int32_t out_h = (cfg->flat != 0U) ? 1 : cfg->out_h;
    const int32_t out_w = (cfg->flat != 0U) ? (cfg->out_h * cfg->out_w) : cfg->out_w;
    const int32_t in_w = (cfg->flat != 0U) ? (cfg->in_h * cfg->in_w) : cfg->in_w;
    const int32_t in_c = cfg->in_c;
    const int32_t row = cfg->in_w * in_c;
    tg_row_t r = {&w[(cfg->out_c / 2) * cfg->words], o.offset, 1};
    for (int32_t oy = 0; oy < out_h; ++oy) {
        const int32_t iy = (oy * cfg->stride_h) - cfg->pad_top;
        const int32_t whole = ((iy >= 0) && ((iy + ((cfg->k_h - 1) * cfg->dil_h)) < cfg->in_h)) ? 1 : 0;
        int8_t *const to = &y[cfg->y_start + (oy * cfg->y_row)];
        int32_t ox = 0;
        while (ox < out_w) {
            const int32_t at = ((ox + 4) > out_w) ? (out_w - 4) : ox; /* the last tile overlaps */
            const int32_t ix = (at * cfg->stride_w) - cfg->pad_left;
            const int32_t last = in_w - cfg->k_w - ix; /* of a column where a window may begin, from ix */
            const int8_t *from = &x[(iy * row) + (ix * in_c)];
            r.tiles = 1;
            if ((whole != 0) && (ix >= 0) && (last >= (3 * cfg->stride_w))) {
                while (((at + (4 * r.tiles) + 4) <= out_w) && (last >= (((4 * r.tiles) + 3) * cfg->stride_w))) {
                    ++r.tiles;
                }
            } else {
                from = (int8_t *)scratch;
                tg_border(cfg, x, iy, ix, (int8_t *)scratch);
            }
            cfg->row(&r, from, w, &to[at * cfg->y_col]);
            ox = at + (4 * r.tiles);
        }
    }
    tg_clamp_dsp(&o, y, (o.narrow != 0) ? (cfg->out_h * cfg->out_w * cfg->out_c) : 0);
}
