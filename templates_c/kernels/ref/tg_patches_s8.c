#include "tg_patches_s8.h"

#include <string.h>

#include "tg_window.h"

/** The window whose tap (0, 0) is at image position (iy, ix), with the zero point where it is outside. */
static TG_NOINLINE void tg_patch(const tg_patches_s8_cfg_t *cfg, const int8_t *x, int32_t iy, int32_t ix, int8_t *to)
{
    const int32_t in_c = cfg->in_c;
    /* taps that are neighbours in the image are copied together */
    const int32_t cols = (cfg->dil_w == 1U) ? cfg->k_w : 1;
    for (int32_t ky = 0; ky < cfg->k_h; ++ky) {
        for (int32_t kx = 0; kx < cfg->k_w; kx += cols) {
            const int32_t at = ix + (kx * cfg->dil_w);
            tg_taps_t t = {0, 0};
            if ((iy >= 0) && (iy < cfg->in_h)) {
                t = tg_taps_inside(at, cfg->in_w, cols, 1);
            }
            if ((t.end - t.first) < cols) {
                (void)memset(to, cfg->in_zp, (size_t)(cols * in_c));
            }
            if (t.end > t.first) {
                (void)memcpy(&to[t.first * in_c], &x[((iy * cfg->in_w) + at + t.first) * in_c],
                             (size_t)((t.end - t.first) * in_c));
            }
            to += cols * in_c;
        }
        iy += cfg->dil_h;
    }
}

/** The outputs of some pixels to where each pixel's begin, channels `step` apart. */
static TG_NOINLINE void tg_spread(const int8_t *from, int32_t pixels, int32_t channels, int32_t step,
                                  int8_t *const to[TG_PATCHES])
{
    for (int32_t p = 0; p < pixels; ++p) {
        int8_t *at = to[p];
        for (const int8_t *const end = &from[channels]; from != end; ++from) {
            *at = *from;
            at += step;
        }
    }
}

TG_SHARED void tg_patches_s8(const tg_patches_s8_cfg_t *cfg, const int8_t *x, const int8_t *w, const int32_t *b,
                             const int32_t *m, int16_t *scratch, int8_t *y)
{
    const int32_t pixels = cfg->out_h * cfg->out_w;
    const int32_t n_in = cfg->k_h * cfg->k_w * cfg->in_c;
    int8_t *const windows = (int8_t *)scratch;
    int8_t *const outputs = &windows[((pixels < TG_PATCHES) ? pixels : TG_PATCHES) * n_in];
    int8_t *to[TG_PATCHES];
    int32_t oy = 0;
    int32_t ox = 0;
    int32_t filled = 0;
    y += cfg->y_start;
    for (int32_t p = 0; p < pixels; ++p) {
        const int32_t iy = (oy * cfg->stride_h) - cfg->pad_top;
        const int32_t ix = (ox * cfg->stride_w) - cfg->pad_left;
        tg_patch(cfg, x, iy, ix, &windows[filled * n_in]);
        to[filled] = &y[(oy * cfg->y_row) + (ox * cfg->y_col)];
        ++filled;
        if ((filled == TG_PATCHES) || (p == (pixels - 1))) {
            const tg_dense_s8_cfg_t dense = {(uint32_t)filled, (uint32_t)n_in, cfg->out_c, cfg->out_zp,
                                             cfg->lo,          cfg->hi,        cfg->shift};
            if (cfg->y_channel == 1) {
                cfg->dense(&dense, windows, w, b, m, to[0]);
            } else {
                cfg->dense(&dense, windows, w, b, m, outputs);
                tg_spread(outputs, filled, cfg->out_c, cfg->y_channel, to);
            }
            filled = 0;
        }
        ++ox;
        if (ox == cfg->out_w) {
            ox = 0;
            ++oy;
        }
    }
}
