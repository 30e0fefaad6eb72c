#include "tg_conv_transpose_s8.h"

#include "tg_numerics.h"

/** The taps of one axis that meet one output position: k = first, first + k_step, ...; inputs i, i - i_step, ... */
typedef struct {
    int32_t first;
    int32_t i;
} tg_meet_t;

/** How far apart those taps and inputs are: k_step * dil = i_step * stride, the least common multiple. */
typedef struct {
    int32_t k_step;
    int32_t i_step;
} tg_steps_t;

static tg_steps_t tg_steps(int32_t stride, int32_t dil)
{
    int32_t a = stride;
    int32_t b = dil;
    tg_steps_t s;
    while (b != 0) {
        const int32_t rest = a % b;
        a = b;
        b = rest;
    }
    s.k_step = stride / a;
    s.i_step = dil / a;
    return s;
}

/** First tap k for which at - k * dil is a multiple of the stride; first == k_len when there is none. */
static tg_meet_t tg_meet(int32_t at, int32_t k_len, int32_t stride, int32_t dil)
{
    tg_meet_t t = {0, 0};
    while ((t.first < k_len) && (((at - (t.first * dil)) % stride) != 0)) {
        ++t.first;
    }
    t.i = (at - (t.first * dil)) / stride;
    return t;
}

static inline int32_t tg_dot_centred(const int8_t *x, const int8_t *w, int32_t n, int32_t zp)
{
    int32_t sum = 0;
    for (int32_t i = 0; i < n; ++i) {
        sum += (x[i] - zp) * w[i];
    }
    return sum;
}

TG_SHARED void tg_conv_transpose_s8(const tg_conv_transpose_s8_cfg_t *cfg, const int8_t *x, const int8_t *w,
                                    const int32_t *b, const int32_t *m, int8_t *y)
{
    const int32_t tap = cfg->in_c / cfg->groups;
    const int32_t group_out = cfg->out_c / cfg->groups;
    const int32_t w_len = cfg->k_h * cfg->k_w * tap;
    const tg_steps_t sy = tg_steps(cfg->stride_h, cfg->dil_h);
    const tg_steps_t sx = tg_steps(cfg->stride_w, cfg->dil_w);
    for (int32_t oy = 0; oy < cfg->out_h; ++oy) {
        const tg_meet_t ty = tg_meet(oy + cfg->pad_top, cfg->k_h, cfg->stride_h, cfg->dil_h);
        for (int32_t ox = 0; ox < cfg->out_w; ++ox) {
            const tg_meet_t tx = tg_meet(ox + cfg->pad_left, cfg->k_w, cfg->stride_w, cfg->dil_w);
            const int8_t *w_oc = w;
            int32_t oc = 0;
            for (int32_t g = 0; g < cfg->groups; ++g) {
                const int8_t *const x_group = &x[g * tap];
                for (int32_t end = oc + group_out; oc < end; ++oc) {
                    int32_t acc = b[oc];
                    int32_t iy = ty.i;
                    for (int32_t ky = ty.first; ky < cfg->k_h; ky += sy.k_step) {
                        int32_t ix = tx.i;
                        for (int32_t kx = tx.first; kx < cfg->k_w; kx += sx.k_step) {
                            if (((uint32_t)iy < cfg->in_h) && ((uint32_t)ix < cfg->in_w)) {
                                acc += tg_dot_centred(&x_group[((iy * cfg->in_w) + ix) * cfg->in_c],
                                                      &w_oc[((ky * cfg->k_w) + kx) * tap], tap, cfg->in_zp);
                            }
                            ix -= sx.i_step;
                        }
                        iy -= sy.i_step;
                    }
                    y[oc] = tg_requant_clamp(acc, m[oc], cfg->shift, cfg->out_zp, cfg->lo, cfg->hi);
                    w_oc += w_len;
                }
            }
            y += cfg->out_c;
        }
    }
}
