#include "tg_dwconv_s8.h"

#include "tg_epilogue.h"
#include "tg_window.h"

/** From tap to tap and from kernel row to kernel row, in the image and in the weights. */
typedef struct {
    int32_t x_tap;
    int32_t x_row;
    int32_t w_tap;
    int32_t w_row;
} tg_steps_t;

/** acc[j] += rows x cols taps of four neighbouring channels. */
static TG_NOINLINE void tg_dwconv_taps4(const tg_steps_t *s, const int8_t *x, const int8_t *w, int32_t rows,
                                        int32_t cols, int32_t acc[4])
{
    const int32_t x_tap = s->x_tap;
    const int32_t w_tap = s->w_tap;
    int32_t a0 = acc[0];
    int32_t a1 = acc[1];
    int32_t a2 = acc[2];
    int32_t a3 = acc[3];
    for (int32_t r = 0; r < rows; ++r) {
        const int8_t *v = &x[r * s->x_row];
        const int8_t *k = &w[r * s->w_row];
        for (int32_t n = cols; n > 0; --n) {
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
static TG_NOINLINE void tg_dwconv_taps1(const tg_steps_t *s, const int8_t *x, const int8_t *w, int32_t rows,
                                        int32_t cols, int32_t acc[4])
{
    int32_t a0 = acc[0];
    for (int32_t r = 0; r < rows; ++r) {
        const int8_t *v = &x[r * s->x_row];
        const int8_t *k = &w[r * s->w_row];
        for (int32_t n = cols; n > 0; --n) {
            a0 += *v * *k;
            v += s->x_tap;
            k += s->w_tap;
        }
    }
    acc[0] = a0;
}

static inline void tg_dwconv_taps(const tg_steps_t *s, const int8_t *x, const int8_t *w, int32_t rows, int32_t cols,
                                  int32_t count, int32_t acc[4])
{
    if ((rows <= 0) || (cols <= 0)) {
        /* nothing there */
    } else if (count == 4) {
        tg_dwconv_taps4(s, x, w, rows, cols, acc);
    } else {
        tg_dwconv_taps1(s, x, w, rows, cols, acc);
    }
}

/** The taps outside the image, of a pixel that has some: four rectangles that read nothing but the zero point. */
static TG_NOINLINE void tg_dwconv_outside(const tg_dwconv_s8_cfg_t *cfg, tg_taps_t ky, tg_taps_t kx, const int8_t *w,
                                          int32_t count, int32_t acc[4])
{
    const int8_t zp = (int8_t)cfg->in_zp;
    const int8_t padding[4] = {zp, zp, zp, zp};
    const int32_t out_c = cfg->out_c;
    const int32_t row = cfg->k_w * out_c;
    const tg_steps_t s = {0, 0, out_c, row};
    const int8_t *const w_in = &w[ky.first * row];
    tg_dwconv_taps(&s, padding, w, ky.first, cfg->k_w, count, acc);
    tg_dwconv_taps(&s, padding, w_in, ky.end - ky.first, kx.first, count, acc);
    tg_dwconv_taps(&s, padding, &w_in[kx.end * out_c], ky.end - ky.first, cfg->k_w - kx.end, count, acc);
    tg_dwconv_taps(&s, padding, &w[ky.end * row], cfg->k_h - ky.end, cfg->k_w, count, acc);
}

TG_SHARED void tg_dwconv_s8(const tg_dwconv_s8_cfg_t *cfg, const int8_t *x, const int8_t *w, const int32_t *b,
                            const int32_t *m, int8_t *y)
{
    const int32_t in_c = cfg->in_c;
    const int32_t out_c = cfg->out_c;
    const int32_t multiplier = out_c / in_c;
    const tg_output_t out = {cfg->shift, cfg->out_zp, cfg->lo, cfg->hi};
    const tg_steps_t s = {cfg->dil_w * in_c, cfg->dil_h * cfg->in_w * in_c, out_c, cfg->k_w * out_c};
    for (int32_t oy = 0; oy < cfg->out_h; ++oy) {
        const int32_t iy = (oy * cfg->stride_h) - cfg->pad_top;
        const tg_taps_t ky = tg_taps_inside(iy, cfg->in_h, cfg->k_h, cfg->dil_h);
        const int32_t rows = ky.end - ky.first;
        for (int32_t ox = 0; ox < cfg->out_w; ++ox) {
            const int32_t ix = (ox * cfg->stride_w) - cfg->pad_left;
            const tg_taps_t kx = tg_taps_inside(ix, cfg->in_w, cfg->k_w, cfg->dil_w);
            const int32_t cols = kx.end - kx.first;
            const int32_t whole = ((rows == cfg->k_h) && (cols == cfg->k_w)) ? 1 : 0;
            const int32_t w_at = (ky.first * s.w_row) + (kx.first * s.w_tap);
            int32_t x_at = (((iy * cfg->in_w) + ix) * in_c) + (ky.first * s.x_row) + (kx.first * s.x_tap);
            int32_t left = multiplier; /* output channels still to come from this input channel */
            int32_t oc = 0;
            while (oc < out_c) {
                const int32_t count = ((multiplier == 1) && ((out_c - oc) >= 4)) ? 4 : 1;
                int32_t acc[4];
                tg_start(acc, &b[oc], count);
                if (whole == 0) {
                    tg_dwconv_outside(cfg, ky, kx, &w[oc], count, acc);
                }
                tg_dwconv_taps(&s, &x[x_at], &w[w_at + oc], rows, cols, count, acc);
                tg_epilogue(&out, acc, &m[oc], count, &y[oc]);
                oc += count;
                left -= count;
                if (left <= 0) {
                    x_at += count;
                    left = multiplier;
                }
            }
            y += out_c;
        }
    }
}
