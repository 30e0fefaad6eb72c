#include "tg_dwconv_s8.h"

#include "tg_numerics.h"

/**
 * acc[j] += taps of `count` (1 or 4) neighbouring output channels at w; x is the image at their (first) input channel.
 * (iy, ix) is the pixel of tap (0, 0). One walk over the taps serves four channels.
 */
static void tg_dwconv_taps(const tg_dwconv_s8_cfg_t *cfg, int32_t iy, int32_t ix, const int8_t *x, const int8_t *w,
                           int32_t count, int32_t acc[4])
{
    const int32_t x_step = cfg->dil_w * cfg->in_c;
    const int32_t w_step = cfg->out_c;
    const int32_t zp = cfg->in_zp;
    int32_t a0 = acc[0];
    int32_t a1 = acc[1];
    int32_t a2 = acc[2];
    int32_t a3 = acc[3];
    for (int32_t ky = 0; ky < cfg->k_h; ++ky) {
        /* unsigned: one comparison tests both ends of the image */
        const uint32_t width = ((uint32_t)iy < cfg->in_h) ? cfg->in_w : 0U;
        int32_t offset = ((iy * cfg->in_w) + ix) * cfg->in_c;
        int32_t col = ix;
        for (int32_t kx = 0; kx < cfg->k_w; ++kx) {
            if ((uint32_t)col < width) {
                const int8_t *const v = &x[offset];
                a0 += v[0] * w[0];
                if (count == 4) {
                    a1 += v[1] * w[1];
                    a2 += v[2] * w[2];
                    a3 += v[3] * w[3];
                }
            } else {
                a0 += zp * w[0];
                if (count == 4) {
                    a1 += zp * w[1];
                    a2 += zp * w[2];
                    a3 += zp * w[3];
                }
            }
            offset += x_step;
            col += cfg->dil_w;
            w += w_step;
        }
        iy += cfg->dil_h;
    }
    acc[0] = a0;
    acc[1] = a1;
    acc[2] = a2;
    acc[3] = a3;
}

TG_SHARED void tg_dwconv_s8(const tg_dwconv_s8_cfg_t *cfg, const int8_t *x, const int8_t *w, const int32_t *b,
                            const int32_t *m, int8_t *y)
{
    const int32_t multiplier = cfg->out_c / cfg->in_c;
    for (int32_t oy = 0; oy < cfg->out_h; ++oy) {
        const int32_t iy = (oy * cfg->stride_h) - cfg->pad_top;
        for (int32_t ox = 0; ox < cfg->out_w; ++ox) {
            const int32_t ix = (ox * cfg->stride_w) - cfg->pad_left;
            int32_t ic = 0;
            int32_t left = multiplier; /* output channels still to come from input channel ic */
            int32_t oc = 0;
            while (oc < cfg->out_c) {
                const int32_t count = ((multiplier == 1) && ((cfg->out_c - oc) >= 4)) ? 4 : 1;
                int32_t acc[4] = {0, 0, 0, 0};
                for (int32_t j = 0; j < count; ++j) {
                    acc[j] = b[oc + j];
                }
                tg_dwconv_taps(cfg, iy, ix, &x[ic], &w[oc], count, acc);
                for (int32_t j = 0; j < count; ++j) {
                    y[oc + j] = tg_requant_clamp(acc[j], m[oc + j], cfg->shift, cfg->out_zp, cfg->lo, cfg->hi);
                }
                oc += count;
                left -= count;
                if (left <= 0) {
                    ic += count;
                    left = multiplier;
                }
            }
            y += cfg->out_c;
        }
    }
}
