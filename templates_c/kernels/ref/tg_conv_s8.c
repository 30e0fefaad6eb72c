#include "tg_conv_s8.h"

#include "tg_dot_s8.h"
#include "tg_numerics.h"
#include "tg_window.h"

/** One output pixel: the taps inside the image, and how runs of them lie in memory. */
typedef struct {
    tg_taps_t ky;
    tg_taps_t kx;
    int32_t iy;    /**< row of tap (0, 0), may be negative */
    int32_t ix;    /**< column of tap (0, 0) */
    int32_t tap;   /**< weights of one tap: in_c / groups */
    int32_t row;   /**< weights of one kernel row */
    int32_t w_len; /**< weights of one output channel */
} tg_pixel_t;

/** acc[j] += taps of `count` (1 or 4) output channels that start at w; x is the image at the group's first channel. */
static void tg_conv_taps(const tg_conv_s8_cfg_t *cfg, const tg_pixel_t *p, const int8_t *x, const int8_t *w,
                         int32_t count, int32_t acc[4])
{
    const int32_t inside = p->kx.end - p->kx.first;
    /* neighbouring taps are one run of bytes when the kernel is dense and takes all channels */
    const int32_t joined = ((cfg->dil_w == 1U) && (cfg->groups == 1U)) ? 1 : 0;
    const int32_t runs = (joined != 0) ? 1 : inside;
    const int32_t run = (joined != 0) ? (inside * p->tap) : p->tap;
    for (int32_t ky = 0; ky < cfg->k_h; ++ky) {
        const int8_t *w_row = &w[ky * p->row];
        const int32_t y_in = ((ky >= p->ky.first) && (ky < p->ky.end)) ? 1 : 0;
        const int32_t left = (y_in != 0) ? (p->kx.first * p->tap) : p->row;
        const int32_t right = (y_in != 0) ? ((cfg->k_w - p->kx.end) * p->tap) : 0;
        if ((left + right) > 0) {
            for (int32_t j = 0; j < count; ++j) {
                const int8_t *const w_pad = &w_row[j * p->w_len];
                acc[j] += cfg->in_zp * (tg_sum_s8(w_pad, left) + tg_sum_s8(&w_pad[p->row - right], right));
            }
        }
        if ((y_in != 0) && (run > 0)) {
            const int32_t iy = p->iy + (ky * cfg->dil_h);
            const int32_t ix = p->ix + (p->kx.first * cfg->dil_w);
            const int8_t *x_run = &x[((iy * cfg->in_w) + ix) * cfg->in_c];
            w_row = &w_row[left];
            for (int32_t r = 0; r < runs; ++r) {
                if (count == 4) {
                    tg_dot4_s8(x_run, w_row, p->w_len, run, acc);
                } else {
                    acc[0] = tg_dot_s8(x_run, w_row, run, acc[0]);
                }
                x_run += cfg->dil_w * cfg->in_c;
                w_row += p->tap;
            }
        }
    }
}

/** All output channels of one pixel. */
static void tg_conv_pixel(const tg_conv_s8_cfg_t *cfg, const tg_pixel_t *p, const int8_t *x, const int8_t *w,
                          const int32_t *b, const int32_t *m, int8_t *y)
{
    const int32_t group_out = cfg->out_c / cfg->groups;
    int32_t oc = 0;
    for (int32_t g = 0; g < cfg->groups; ++g) {
        const int32_t group_end = oc + group_out;
        while (oc < group_end) {
            const int32_t count = ((group_end - oc) >= 4) ? 4 : 1;
            int32_t acc[4] = {0, 0, 0, 0};
            for (int32_t j = 0; j < count; ++j) {
                acc[j] = b[oc + j];
            }
            tg_conv_taps(cfg, p, &x[g * p->tap], &w[oc * p->w_len], count, acc);
            for (int32_t j = 0; j < count; ++j) {
                y[oc + j] = tg_requant_clamp(acc[j], m[oc + j], cfg->shift, cfg->out_zp, cfg->lo, cfg->hi);
            }
            oc += count;
        }
    }
}

TG_SHARED void tg_conv_s8(const tg_conv_s8_cfg_t *cfg, const int8_t *x, const int8_t *w, const int32_t *b,
                          const int32_t *m, int8_t *y)
{
    tg_pixel_t p;
    p.tap = cfg->in_c / cfg->groups;
    p.row = cfg->k_w * p.tap;
    p.w_len = cfg->k_h * p.row;
    p.iy = -cfg->pad_top;
    for (int32_t oy = 0; oy < cfg->out_h; ++oy) {
        p.ky = tg_taps_inside(p.iy, cfg->in_h, cfg->k_h, cfg->dil_h);
        p.ix = -cfg->pad_left;
        for (int32_t ox = 0; ox < cfg->out_w; ++ox) {
            p.kx = tg_taps_inside(p.ix, cfg->in_w, cfg->k_w, cfg->dil_w);
            tg_conv_pixel(cfg, &p, x, w, b, m, y);
            y += cfg->out_c;
            p.ix += cfg->stride_w;
        }
        p.iy += cfg->stride_h;
    }
}
