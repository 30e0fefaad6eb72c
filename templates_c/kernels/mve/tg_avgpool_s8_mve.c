#include "tg_avgpool_s8_mve.h"

#include "tg_sum_mve.h"
#include "tg_window.h"

TG_SHARED void tg_avgpool_s8_mve(const tg_avgpool_s8_cfg_t *cfg, const int8_t *x, const int32_t *m, int8_t *y)
{
    const int32_t channels = cfg->channels;
    tg_sum_mve_t s = {
        0, 0, cfg->dil_w * channels, cfg->dil_h * cfg->in_w * channels, 0, m[0], 31 - cfg->shift, cfg->out_zp, 0};
    for (int32_t oy = 0; oy < cfg->out_h; ++oy) {
        const int32_t iy = (oy * cfg->stride_h) - cfg->pad_top;
        const tg_taps_t ky = tg_taps_inside(iy, cfg->in_h, cfg->k_h, cfg->dil_h);
        s.rows = ky.end - ky.first;
        for (int32_t ox = 0; ox < cfg->out_w; ++ox) {
            const int32_t ix = (ox * cfg->stride_w) - cfg->pad_left;
            const tg_taps_t kx = tg_taps_inside(ix, cfg->in_w, cfg->k_w, cfg->dil_w);
            const int32_t valid = s.rows * (kx.end - kx.first);
            s.cols = kx.end - kx.first;
            if (valid > 0) {
                const int32_t first =
                    (((iy * cfg->in_w) + ix) * channels) + (ky.first * s.x_row) + (kx.first * s.x_step);
                s.start = -(valid * cfg->in_zp);
                s.m = m[(valid - 1) * cfg->m_step];
                s.even = ((cfg->even != 0U) && (cfg->m_step != 0U)) ? valid : (int32_t)cfg->even;
                tg_sum_mve(&s, &x[first], channels, y);
            } else {
                tg_fill_mve(y, cfg->out_zp, channels);
            }
            y += channels;
        }
    }
}
