#include "tg_conv_s16.h"

#include "tg_dot_s16.h"
#include "tg_epilogue_s16.h"
#include "tg_window.h"

/** The taps of the current pixel that lie inside the image. */
typedef struct {
    int32_t x_at; /**< the first of them, counted from the start of the image */
    int32_t w_at; /**< and from the start of a channel's weights */
    /** Kernel rows when their taps are neighbours in the image, else the taps of one row, with repeats. */
    tg_runs16_t inside;
    int32_t repeats;
    int32_t x_row; /**< from kernel row to kernel row in the image */
    int32_t w_row; /**< and in the weights */
} tg_pixel16_t;

/** acc[j] += the taps inside, `count` (1 or 4) channels of weights, `next` apart. */
static inline void tg_conv_inside(const tg_pixel16_t *p, const int16_t *x, const int8_t *w, int32_t next, int32_t count,
                                  int32_t acc[4])
{
    for (int32_t r = p->repeats; r > 0; --r) {
        if (count == 4) {
            tg_dot4_s16(&p->inside, x, w, next, acc);
        } else {
            acc[0] = tg_dot_s16(&p->inside, x, w, acc[0]);
        }
        x += p->x_row;
        w += p->w_row;
    }
}

/** All output channels of one pixel, the first of which is output `at` of the layer. */
static void tg_conv_pixel(const tg_conv_s16_cfg_t *cfg, const tg_pixel16_t *p, const int16_t *x, const int8_t *w,
                          const int32_t *b, const int32_t *m, void *y, int32_t at)
{
    const tg_output16_t out = {cfg->shift, cfg->out_zp, cfg->lo, cfg->hi, cfg->wide};
    const int32_t tap = cfg->in_c / cfg->groups;
    const int32_t w_len = cfg->k_h * cfg->k_w * tap;
    const int32_t group_out = cfg->out_c / cfg->groups;
    int32_t x_at = p->x_at;
    int32_t oc = 0;
    for (int32_t g = 0; g < cfg->groups; ++g) {
        const int32_t group_end = oc + group_out;
        while (oc < group_end) {
            const int32_t count = ((group_end - oc) >= 4) ? 4 : 1;
            int32_t acc[4] = {b[oc], 0, 0, 0};
            if (count == 4) {
                acc[1] = b[oc + 1];
                acc[2] = b[oc + 2];
                acc[3] = b[oc + 3];
            }
            if (p->inside.n > 0) {
                tg_conv_inside(p, &x[x_at], &w[p->w_at], w_len, count, acc);
            }
            tg_epilogue_s16(&out, acc, &m[oc], count, tg_output_at(&out, y, at + oc));
            w += count * w_len;
            oc += count;
        }
        x_at += tap;
    }
}

TG_SHARED void tg_conv_s16(const tg_conv_s16_cfg_t *cfg, const int16_t *x, const int8_t *w, const int32_t *b,
                           const int32_t *m, void *y)
{
    const int32_t joined = ((cfg->dil_w == 1U) && (cfg->groups == 1U)) ? 1 : 0;
    const int32_t tap = cfg->in_c / cfg->groups;
    const int32_t x_tap = cfg->dil_w * cfg->in_c;
    int32_t at = 0;
    tg_pixel16_t p;
    p.x_row = cfg->dil_h * cfg->in_w * cfg->in_c;
    p.w_row = cfg->k_w * tap;
    for (int32_t oy = 0; oy < cfg->out_h; ++oy) {
        const int32_t iy = (oy * cfg->stride_h) - cfg->pad_top;
        const tg_taps_t ky = tg_taps_inside(iy, cfg->in_h, cfg->k_h, cfg->dil_h);
        for (int32_t ox = 0; ox < cfg->out_w; ++ox) {
            const int32_t ix = (ox * cfg->stride_w) - cfg->pad_left;
            const tg_taps_t kx = tg_taps_inside(ix, cfg->in_w, cfg->k_w, cfg->dil_w);
            const int32_t cols = kx.end - kx.first;
            if (joined != 0) {
                const tg_runs16_t rows = {ky.end - ky.first, cols * tap, p.x_row, p.w_row};
                p.inside = rows;
                p.repeats = 1;
            } else {
                const tg_runs16_t taps = {cols, tap, x_tap, tap};
                p.inside = taps;
                p.repeats = ky.end - ky.first;
            }
            p.x_at = (((iy * cfg->in_w) + ix) * cfg->in_c) + (ky.first * p.x_row) + (kx.first * x_tap);
            p.w_at = (ky.first * p.w_row) + (kx.first * tap);
            tg_conv_pixel(cfg, &p, x, w, b, m, y, at);
            at += cfg->out_c;
        }
    }
}
