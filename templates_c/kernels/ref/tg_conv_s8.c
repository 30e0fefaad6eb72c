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
    /** Taps inside: kernel rows when their taps are neighbours in the image, else the taps of one row, with repeats. */
    tg_runs_t inside;
    int32_t repeats;
} tg_pixel_t;

/** sum[j] += all weights of all runs, for `count` (1 or 4) rows of weights: what padding contributes, but for x. */
static TG_NOINLINE void tg_conv_sum(const tg_runs_t *r, const int8_t *w, int32_t next, int32_t count, int32_t sum[4])
{
    for (int32_t left = r->runs; left > 0; --left) {
        const int8_t *const end = &w[r->n];
        const int8_t *v = w;
        if (count == 4) {
            int32_t s0 = 0;
            int32_t s1 = 0;
            int32_t s2 = 0;
            int32_t s3 = 0;
            for (; v != end; ++v) {
                s0 += v[0];
                s1 += v[next];
                s2 += v[2 * next];
                s3 += v[3 * next];
            }
            sum[0] += s0;
            sum[1] += s1;
            sum[2] += s2;
            sum[3] += s3;
        } else {
            for (; v != end; ++v) {
                sum[0] += *v;
            }
        }
        w += r->w_step;
    }
}

/** acc[j] += what the taps outside the image give: rows above, columns to the left and right, rows below. */
static TG_NOINLINE void tg_conv_outside(const tg_conv_s8_cfg_t *cfg, const tg_pixel_t *p, const int8_t *w,
                                        int32_t count, int32_t acc[4])
{
    const int8_t *const w_in = &w[p->ky.first * p->row];
    const int32_t rows = p->ky.end - p->ky.first;
    const int32_t right = p->kx.end * p->tap;
    const tg_runs_t parts[4] = {
        {1, p->ky.first * p->row, 0, 0},
        {rows, p->kx.first * p->tap, 0, p->row},
        {rows, p->row - right, 0, p->row},
        {1, p->w_len - (p->ky.end * p->row), 0, 0},
    };
    const int8_t *const start[4] = {w, w_in, &w_in[right], &w[p->ky.end * p->row]};
    int32_t sum[4] = {0, 0, 0, 0};
    for (int32_t i = 0; i < 4; ++i) {
        if (parts[i].n > 0) {
            tg_conv_sum(&parts[i], start[i], p->w_len, count, sum);
        }
    }
    for (int32_t j = 0; j < count; ++j) {
        acc[j] += cfg->in_zp * sum[j];
    }
}

/** acc[j] += the taps inside, `count` (1 or 4) channels of weights from w on; x, w: the first tap inside. */
static inline void tg_conv_inside(const tg_pixel_t *p, const int8_t *x, const int8_t *w, int32_t count, int32_t acc[4])
{
    for (int32_t r = p->repeats; r > 0; --r) {
        if (count == 4) {
            tg_dot4_s8(&p->inside, x, w, p->w_len, acc);
        } else {
            acc[0] = tg_dot_s8(&p->inside, x, w, acc[0]);
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
                tg_conv_outside(cfg, p, w, count, acc);
            }
            if (p->inside.n > 0) {
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
            int32_t cols;
            p.kx = tg_taps_inside(ix, cfg->in_w, cfg->k_w, cfg->dil_w);
            cols = p.kx.end - p.kx.first;
            if (joined != 0) {
                p.inside.runs = p.ky.end - p.ky.first;
                p.inside.n = cols * p.tap;
                p.inside.x_step = p.x_row;
                p.inside.w_step = p.row;
                p.repeats = 1;
            } else {
                p.inside.runs = cols;
                p.inside.n = p.tap;
                p.inside.x_step = p.x_tap;
                p.inside.w_step = p.tap;
                p.repeats = p.ky.end - p.ky.first;
            }
            x_at += (p.ky.first * p.x_row) + (p.kx.first * p.x_tap);
            tg_conv_pixel(cfg, &p, x, x_at, w, b, m, y);
            y += cfg->out_c;
        }
    }
}
