#include "tg_maxpool_s8_dsp.h"

#include "tg_isa_dsp.h"
#include "tg_window.h"

/** y = max(x, y), n >= 4 bytes; the last four may overlap those before. */
static TG_NOINLINE void tg_max_run(const int8_t *x, int8_t *y, int32_t n)
{
    int32_t i = 0;
    for (; i <= (n - 8); i += 8) {
        const uint32_t a = tg_load32(&x[i]);
        const uint32_t b = tg_load32(&x[i + 4]);
        const uint32_t p = tg_load32(&y[i]);
        const uint32_t q = tg_load32(&y[i + 4]);
        tg_store32(&y[i], tg_max8(a, p));
        tg_store32(&y[i + 4], tg_max8(b, q));
    }
    while (i < n) {
        const int32_t at = (i > (n - 4)) ? (n - 4) : i;
        tg_store32(&y[at], tg_max8(tg_load32(&x[at]), tg_load32(&y[at])));
        i += 4;
    }
}

TG_SHARED void tg_maxpool_s8_dsp(const tg_maxpool_s8_cfg_t *cfg, const int8_t *x, int8_t *y)
{
    const int32_t channels = cfg->channels;
    const int32_t x_step = cfg->dil_w * channels;
    const int32_t x_row = cfg->dil_h * cfg->in_w * channels;
    (void)memset(y, -128, (size_t)(cfg->out_h * cfg->out_w * channels));
    for (int32_t oy = 0; oy < cfg->out_h; ++oy) {
        const int32_t iy = (oy * cfg->stride_h) - cfg->pad_top;
        const tg_taps_t ky = tg_taps_inside(iy, cfg->in_h, cfg->k_h, cfg->dil_h);
        for (int32_t ox = 0; ox < cfg->out_w; ++ox) {
            const int32_t ix = (ox * cfg->stride_w) - cfg->pad_left;
            const tg_taps_t kx = tg_taps_inside(ix, cfg->in_w, cfg->k_w, cfg->dil_w);
            const int32_t origin = ((iy * cfg->in_w) + ix) * channels;
            for (int32_t j = ky.first; j < ky.end; ++j) {
                for (int32_t i = kx.first; i < kx.end; ++i) {
                    tg_max_run(&x[origin + (j * x_row) + (i * x_step)], y, channels);
                }
            }
            y += channels;
        }
    }
}
