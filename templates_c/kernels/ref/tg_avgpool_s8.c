#include "tg_avgpool_s8.h"

#include "tg_numerics.h"
#include "tg_window.h"

TG_SHARED void tg_avgpool_s8(const tg_avgpool_s8_cfg_t *cfg, const int8_t *x, const int32_t *m, int8_t *y)
{
    const int32_t channels = cfg->channels;
    const int32_t x_step = cfg->dil_w * channels;
    const int32_t x_row = cfg->dil_h * cfg->in_w * channels;
    for (int32_t oy = 0; oy < cfg->out_h; ++oy) {
        const int32_t iy = (oy * cfg->stride_h) - cfg->pad_top;
        const tg_taps_t ky = tg_taps_inside(iy, cfg->in_h, cfg->k_h, cfg->dil_h);
        for (int32_t ox = 0; ox < cfg->out_w; ++ox) {
            const int32_t ix = (ox * cfg->stride_w) - cfg->pad_left;
            const tg_taps_t kx = tg_taps_inside(ix, cfg->in_w, cfg->k_w, cfg->dil_w);
            const int32_t origin = ((iy * cfg->in_w) + ix) * channels;
            const int32_t taps = kx.end - kx.first;
            const int32_t valid = taps * (ky.end - ky.first);
            const int32_t divisor = (cfg->m_step != 0U) ? valid : (int32_t)cfg->even;
            const int32_t multiplier = m[(valid > 0) ? ((valid - 1) * cfg->m_step) : 0];
            for (int32_t c = 0; c < channels; ++c) {
                int32_t acc = -(valid * cfg->in_zp);
                int32_t row = origin + (ky.first * x_row) + (kx.first * x_step) + c;
                for (int32_t j = ky.first; j < ky.end; ++j) {
                    int32_t at = row;
                    for (int32_t i = 0; i < taps; ++i) {
                        acc += x[at];
                        at += x_step;
                    }
                    row += x_row;
                }
                int32_t q = tg_requant(acc, multiplier, cfg->shift);
                if (cfg->even != 0U) {
                    q = tg_half_to_even(q, acc, divisor);
                }
                y[c] = (int8_t)tg_clamp(q + cfg->out_zp, -128, 127);
            }
            y += channels;
        }
    }
}
