#include "tg_rows_s8_dsp.h"

#include "tg_epilogue_dsp.h"
#include "tg_image_dsp.h"
#include "tg_window.h"

/** The image that windows slide over: the input, or its copy with borders. */
typedef struct {
    const int8_t *x;
    int32_t h;
    int32_t w;
    int32_t top; /**< padding that is not in it */
    int32_t left;
    int32_t row; /**< bytes */
} tg_image_t;

/** Four windows that leave the image, from row iy and column ix on, rows as far apart as in it. */
static TG_NOINLINE void tg_border(const tg_rows_s8_cfg_t *cfg, const tg_image_t *image, int32_t iy, int32_t ix,
                                  int8_t *edge)
{
    const int32_t in_c = cfg->in_c;
    const int32_t cols = (3 * cfg->stride_w) + cfg->k_w;
    const tg_taps_t inside = tg_taps_inside(ix, image->w, cols, 1);
    const int32_t before = inside.first * in_c;
    const int32_t n = (inside.end - inside.first) * in_c;
    for (int32_t ky = 0; ky < cfg->k_h; ++ky) {
        const int32_t y = iy + (ky * cfg->dil_h);
        const int32_t there = ((uint32_t)y < (uint32_t)image->h) ? n : 0;
        tg_copy_rows(&edge[ky * cfg->dil_h * image->row], 0, &image->x[(y * image->row) + (ix * in_c) + before], 0, 1,
                     before, there, (cols * in_c) - before - there, cfg->in_zp);
    }
}

TG_SHARED void tg_rows_s8_dsp(const tg_rows_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, int16_t *scratch,
                              int8_t *y)
{
    const tg_output_dsp_t o = tg_output_dsp(cfg->shift, cfg->out_zp, cfg->lo, cfg->hi);
    const int32_t in_c = cfg->in_c;
    tg_image_t image = {x, cfg->in_h, cfg->in_w, cfg->pad_top, cfg->pad_left, cfg->in_w * in_c};
    int32_t out_h = cfg->out_h;
    int32_t out_w = cfg->out_w;
    tg_row_t r = {&w[cfg->walked * cfg->words], o.offset, 1};
    const int32_t wide = 4 / cfg->high;
    if (cfg->flat != 0U) {
        out_w *= out_h;
        image.w *= image.h;
        out_h = 1;
    }
    if (cfg->image_h != 0U) {
        const tg_image_t copy = {(int8_t *)scratch, cfg->image_h, cfg->image_w, 0, 0, cfg->image_w * in_c};
        tg_frame_image((int8_t *)scratch, copy.h, copy.row, x, cfg->in_h, image.row, image.top, image.left * in_c,
                       cfg->in_zp);
        image = copy;
    }
    for (int32_t oy = 0; oy < out_h; oy += cfg->high) {
        const int32_t iy = (oy * cfg->stride_h) - image.top;
        const int32_t whole = ((iy >= 0) && ((iy + ((cfg->k_h - 1) * cfg->dil_h)) < image.h)) ? 1 : 0;
        int8_t *const to = &y[cfg->y_start + (oy * cfg->y_row)];
        int32_t ox = 0;
        while (ox < out_w) {
            const int32_t at = ((ox + wide) > out_w) ? (out_w - wide) : ox; /* the last tile overlaps */
            const int32_t ix = (at * cfg->stride_w) - image.left;
            const int32_t last = image.w - cfg->k_w - ix; /* of a column where a window may begin, from ix */
            const int8_t *from = &image.x[(iy * image.row) + (ix * in_c)];
            r.tiles = 1;
            if ((whole != 0) && (ix >= 0) && (last >= ((wide - 1) * cfg->stride_w))) {
                int32_t more = wide; /* pixels behind the tile: up to the end of the row, or to the border */
                while (((at + more + wide) <= out_w) && (last >= ((more + wide - 1) * cfg->stride_w))) {
                    more += wide;
                    ++r.tiles;
                }
            } else {
                from = (int8_t *)scratch;
                tg_border(cfg, &image, iy, ix, (int8_t *)scratch);
            }
            cfg->row(&r, from, w, &to[at * cfg->y_col]);
            ox = at + (wide * r.tiles);
        }
    }
    tg_clamp_dsp(&o, y, (o.narrow != 0) ? (cfg->out_h * cfg->out_w * cfg->out_c) : 0);
}
