#include "tg_conv_s8.h"

#include "tg_dot_s8.h"
#include "tg_epilogue.h"
#include "tg_window.h"

/** How weights and image lie in memory, and which taps of the current pixel are inside the image. */
typedef struct {
    int32_t tap;   /**< weights of one tap: in_c / groups */
    int32_t row;   /**< weights of one kernel row */
    int32_t w_len; /**< weights of one output channel */
    int32_t x_tap; /**< from tap to tap in the image */
    int32_t x_row; /**< from kernel row to kernel row in the image */
    tg_taps_t ky;
    tg_taps_t kx;
    int32_t runs; /**< runs of bytes in one kernel row: the taps inside, or 1 when they are neighbours */
    int32_t run;  /**< length of one */
} tg_pixel_t;

/** What the taps outside the image add to one channel. */
static TG_NOINLINE int32_t tg_conv_outside(const tg_conv_s8_cfg_t *cfg, const tg_pixel_t *p, const int8_t *w)
{
    const int32_t left = p->kx.first * p->tap;
    const int32_t right = p->row - (p->kx.end * p->tap);
    const int32_t below = p->ky.end * p->row;
    int32_t sum = tg_sum_s8(w, p->ky.first * p->row) + tg_sum_s8(&w[below], p->w_len - below);
    for (int32_t ky = p->ky.first; ky < p->ky.end; ++ky) {
        const int8_t *const w_row = &w[ky * p->row];
        sum += tg_sum_s8(w_row, left) + tg_sum_s8(&w_row[p->row - right], right);
    }
    return sum * cfg->in_zp;
}

/** acc[j] += the taps inside, `count` (1 or 4) channels of weights from w on; x, w: the first tap inside. */
static void tg_conv_inside(const tg_pixel_t *p, const int8_t *x, const int8_t *w, int32_t count, int32_t acc[4])
{
    for (int32_t ky = p->ky.first; ky < p->ky.end; ++ky) {
        const int8_t *x_run = x;
        const int8_t *w_run = w;
        for (int32_t r = p->runs; r > 0; --r) {
            if (count == 4) {
                tg_dot4_s8(x_run, w_run, p->w_len, p->run, acc);
            } else {
                acc[0] = tg_dot_s8(x_run, w_run, p->run, acc[0]);
            }
            x_run += p->x_tap;
            w_run += p->tap;
        }
        x += p->x_row;
        w += p->row;
    }
}

/** All output channels of one pixel; x_at: the first tap inside, counted from the start of the image. */
static void tg_conv_pixel(const tg_conv_s8_cfg_t *cfg, const tg_pixel_t *p, const int8_t *x, int32_t x_at,
                          const int8_t *w, const int32_t *b, const int32_t *m, int8_t *y)
{
    const int32_t w_at = (p->ky.first * p->row) + (p->kx.first * p->tap);
    const int32_t whole = (((p->ky.end - p->ky.first) == cfg->k_h) && ((p->kx.end - p->kx.first) == cfg->k_w)) ? 1 : 0;
    const tg_output_t out = {cfg->shift, cfg->out_zp, cfg->lo, cfg->hi};
    const int32_t group_out = cfg->out_c / cfg->groups;
    int32_t oc = 0;
    for (int32_t g = 0; g < cfg->groups; ++g) {
        const int32_t group_end = oc + group_out;
        while (oc < group_end) {
            const int32_t count = ((group_end - oc) >= 4) ? 4 : 1;
            int32_t acc[4];
            tg_start(acc, &b[oc], count);
            if (whole == 0) {
                for (int32_t j = 0; j < count; ++j) {
                    acc[j] += tg_conv_outside(cfg, p, &w[j * p->w_len]);
                }
            }
            if (p->run > 0) {
                tg_conv_inside(p, &x[x_at], &w[w_at], count, acc);
            }
            tg_epilogue(&out, acc, &m[oc], count, &y[oc]);
            w += count * p->w_len;
            oc += count;
        }
        x_at += p->tap;
    }
}

TG_SHARED void tg_conv_s8(const tg_conv_s8_cfg_t *cfg, const int8_t *x, const int8_t *w, const int32_t *b,
                          const int32_t *m, int8_t *y)
{
    const int32_t joined = ((cfg->dil_w == 1U) && (cfg->groups == 1U)) ? 1 : 0;
    tg_pixel_t p;
    p.tap = cfg->in_c / cfg->groups;
    p.row = cfg->k_w * p.tap;
    p.w_len = cfg->k_h * p.row;
    p.x_tap = cfg->dil_w * cfg->in_c;
    p.x_row = cfg->dil_h * cfg->in_w * cfg->in_c;
    for (int32_t oy = 0; oy < cfg->out_h; ++oy) {
        const int32_t iy = (oy * cfg->stride_h) - cfg->pad_top;
        p.ky = tg_taps_inside(iy, cfg->in_h, cfg->k_h, cfg->dil_h);
        for (int32_t ox = 0; ox < cfg->out_w; ++ox) {
            const int32_t ix = (ox * cfg->stride_w) - cfg->pad_left;
            int32_t x_at = ((iy * cfg->in_w) + ix) * cfg->in_c;
            int32_t inside;
            p.kx = tg_taps_inside(ix, cfg->in_w, cfg->k_w, cfg->dil_w);
            inside = p.kx.end - p.kx.first;
            p.runs = (joined != 0) ? 1 : inside;
            p.run = (joined != 0) ? (inside * p.tap) : p.tap;
            x_at += (p.ky.first * p.x_row) + (p.kx.first * p.x_tap);
            tg_conv_pixel(cfg, &p, x, x_at, w, b, m, y);
            y += cfg->out_c;
        }
    }
}
