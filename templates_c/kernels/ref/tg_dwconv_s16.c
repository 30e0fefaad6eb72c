#include "tg_dwconv_s16.h"

#include "tg_epilogue_s16.h"
#include "tg_window.h"

/** The taps inside the image: how many, and from one to the next in the image and in the weights. */
typedef struct {
    int32_t rows;
    int32_t cols;
    int32_t x_tap;
    int32_t x_row;
    int32_t w_tap;
    int32_t w_row;
} tg_taps16_t;

/** acc[j] += the taps of four neighbouring channels. */
static TG_NOINLINE void tg_dwconv_taps4(const tg_taps16_t *s, const int16_t *x, const int8_t *w, int32_t acc[4])
{
    const int32_t x_tap = s->x_tap;
    const int32_t w_tap = s->w_tap;
    int32_t a0 = acc[0];
    int32_t a1 = acc[1];
    int32_t a2 = acc[2];
    int32_t a3 = acc[3];
    for (int32_t r = 0; r < s->rows; ++r) {
        const int16_t *v = &x[r * s->x_row];
        const int8_t *k = &w[r * s->w_row];
        for (int32_t n = s->cols; n > 0; --n) {
            a0 += v[0] * k[0];
            a1 += v[1] * k[1];
            a2 += v[2] * k[2];
            a3 += v[3] * k[3];
            v += x_tap;
            k += w_tap;
        }
    }
    acc[0] = a0;
    acc[1] = a1;
    acc[2] = a2;
    acc[3] = a3;
}

/** The same for one channel. */
static TG_NOINLINE int32_t tg_dwconv_taps1(const tg_taps16_t *s, const int16_t *x, const int8_t *w, int32_t acc)
{
    for (int32_t r = 0; r < s->rows; ++r) {
        const int16_t *v = &x[r * s->x_row];
        const int8_t *k = &w[r * s->w_row];
        for (int32_t n = s->cols; n > 0; --n) {
            acc += *v * *k;
            v += s->x_tap;
            k += s->w_tap;
        }
    }
    return acc;
}

/** All channels of one pixel, whose first tap inside is at x and w; the first is output `at` of the layer. */
static void tg_dwconv_pixel(const tg_dwconv_s16_cfg_t *cfg, const tg_taps16_t *s, const int16_t *x, const int8_t *w,
                            const int32_t *b, const int32_t *m, void *y, int32_t at)
{
    const tg_output16_t out = {cfg->shift, cfg->out_zp, cfg->lo, cfg->hi, cfg->wide};
    const int32_t out_c = cfg->out_c;
    const int32_t multiplier = out_c / cfg->in_c;
    int32_t left = multiplier; /* output channels still to come from this input channel */
    int32_t oc = 0;
    while (oc < out_c) {
        const int32_t count = ((multiplier == 1) && ((out_c - oc) >= 4)) ? 4 : 1;
        int32_t acc[4] = {b[oc], 0, 0, 0};
        if (count == 4) {
            acc[1] = b[oc + 1];
            acc[2] = b[oc + 2];
            acc[3] = b[oc + 3];
            tg_dwconv_taps4(s, x, &w[oc], acc);
        } else {
            acc[0] = tg_dwconv_taps1(s, x, &w[oc], acc[0]);
        }
        tg_epilogue_s16(&out, acc, &m[oc], count, tg_output_at(&out, y, at + oc));
        oc += count;
        left -= count;
        if (left <= 0) {
            x += count;
            left = multiplier;
        }
    }
}

TG_SHARED void tg_dwconv_s16(const tg_dwconv_s16_cfg_t *cfg, const int16_t *x, const int8_t *w, const int32_t *b,
                             const int32_t *m, void *y)
{
    const int32_t in_c = cfg->in_c;
    int32_t at = 0;
    tg_taps16_t s = {0, 0, cfg->dil_w * in_c, cfg->dil_h * cfg->in_w * in_c, cfg->out_c, cfg->k_w * cfg->out_c};
    for (int32_t oy = 0; oy < cfg->out_h; ++oy) {
        const int32_t iy = (oy * cfg->stride_h) - cfg->pad_top;
        const tg_taps_t ky = tg_taps_inside(iy, cfg->in_h, cfg->k_h, cfg->dil_h);
        for (int32_t ox = 0; ox < cfg->out_w; ++ox) {
            const int32_t ix = (ox * cfg->stride_w) - cfg->pad_left;
            const tg_taps_t kx = tg_taps_inside(ix, cfg->in_w, cfg->k_w, cfg->dil_w);
            const int32_t x_at = (((iy * cfg->in_w) + ix) * in_c) + (ky.first * s.x_row) + (kx.first * s.x_tap);
            const int32_t w_at = (ky.first * s.w_row) + (kx.first * s.w_tap);
            s.rows = ky.end - ky.first;
            s.cols = kx.end - kx.first;
            /* with no tap inside the places mean nothing, and nothing is read */
            tg_dwconv_pixel(cfg, &s, ((s.rows > 0) && (s.cols > 0)) ? &x[x_at] : x,
                            ((s.rows > 0) && (s.cols > 0)) ? &w[w_at] : w, b, m, y, at);
            at += cfg->out_c;
        }
    }
}
