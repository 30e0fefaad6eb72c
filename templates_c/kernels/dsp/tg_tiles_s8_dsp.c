#include "tg_tiles_s8_dsp.h"

#include "tg_pixels_dsp.h"
#include "tg_widen4_dsp.h"

TG_SHARED void tg_tiles_s8_dsp(const tg_tiles_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, int16_t *scratch,
                               int8_t *y)
{
    const tg_output_dsp_t o = tg_output_dsp(cfg->shift, cfg->out_zp, cfg->lo, cfg->hi);
    const int32_t channels = cfg->out_c / cfg->groups;
    const int32_t pixels = cfg->out_h * cfg->out_w;
    tg_layer_t l;
    tg_walk_t walk;
    tg_pixel_t start;
    tg_tile_t t = tg_begin(cfg, &o, x, (int8_t *)&scratch[cfg->window / 2U], &l, &walk, &start);

    t.fill = tg_widen4_dsp;
    t.window = scratch;
    t.window_end = &scratch[cfg->window / 2U];
    t.table = cfg->table;
    for (int32_t g = 0; g < (int32_t)cfg->groups; ++g) {
        tg_pixel_t at = start;
        int32_t left = pixels;
        while (left > 0) {
            tg_pixel_t pixel[4];
            tg_take(&l, &walk, &at, &left, pixel, &t);
            t.y_pixel[0] = pixel[1].y - pixel[0].y;
            t.y_pixel[1] = pixel[2].y - pixel[0].y;
            t.y_pixel[2] = pixel[3].y - pixel[0].y;
            tg_run(cfg, &t, w, channels, &y[pixel[0].y]);
        }
        w = &w[((channels + 1) / 2) * (cfg->pairs + 4)];
        l.x += l.taps;
        y = &y[channels * cfg->y_channel];
    }
    tg_clamp_dsp(&o, &y[-cfg->out_c * cfg->y_channel], (o.narrow != 0) ? (pixels * cfg->out_c) : 0);
}
