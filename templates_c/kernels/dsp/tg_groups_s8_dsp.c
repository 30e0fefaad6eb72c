#include "tg_groups_s8_dsp.h"

#include "tg_pixels_dsp.h"
#include "tg_widen4_dsp.h"

/** Windows of four pixels are widened one behind the other as long as there is room, then all channels of them. */
TG_SHARED void tg_groups_s8_dsp(const tg_tiles_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, int16_t *scratch,
                                int8_t *y)
{
    const tg_output_dsp_t o = tg_output_dsp(cfg->shift, cfg->out_zp, cfg->lo, cfg->hi);
    const int32_t channels = cfg->out_c / cfg->groups;
    const int32_t pixels = cfg->out_h * cfg->out_w;
    const int32_t size = (8 * cfg->pairs) + 8; /* of a window and its place */
    int16_t *const end = &scratch[cfg->window / 2U];
    tg_layer_t l;
    tg_walk_t walk;
    tg_pixel_t start;
    tg_tile_t t = tg_begin(cfg, &o, x, (int8_t *)end, &l, &walk, &start);

    t.window = scratch;
    for (int32_t g = 0; g < (int32_t)cfg->groups; ++g) {
        tg_pixel_t at = start;
        int32_t left = pixels;
        while (left > 0) {
            int16_t *window = scratch;
            do {
                tg_pixel_t pixel[4];
                tg_take(&l, &walk, &at, &left, pixel, &t);
                tg_widen4_dsp(&t, window);
                window += size;
                tg_store32(&window[-8], (uint32_t)pixel[0].y);
                for (int32_t p = 1; p < 4; ++p) {
                    tg_store32(&window[(2 * p) - 8], (uint32_t)(pixel[p].y - pixel[0].y));
                }
            } while ((left > 0) && (window != end));
            t.window_end = window;
            tg_run(cfg, &t, w, channels, y);
        }
        w = &w[((channels + 1) / 2) * (cfg->pairs + 4)];
        l.x += l.taps;
        y = &y[channels * cfg->y_channel];
    }
    tg_clamp_dsp(&o, &y[-cfg->out_c * cfg->y_channel], (o.narrow != 0) ? (pixels * cfg->out_c) : 0);
}
