#include "tg_conv3x3_filled_dsp.h"

#include "tg_image_dsp.h"
#include "tg_window.h"

/** `pixels` of n bytes each, from_step apart, to pixels to_step apart; of an n above 4 the last word may overlap. */
static TG_NOINLINE void tg_copy_pixels(int8_t *to, int32_t to_step, const int8_t *from, int32_t from_step,
                                       int32_t pixels, int32_t n)
{
    const int32_t last = n - 4;
    for (; pixels > 0; --pixels) {
        if (last >= 0) {
            for (int32_t i = 0; i < last; i += 4) {
                tg_store32(&to[i], tg_load32(&from[i]));
            }
            tg_store32(&to[last], tg_load32(&from[last]));
        } else {
            tg_copy_bytes(to, from, n);
        }
        to += to_step;
        from += from_step;
    }
}

/** The 6 x 6 pixels at (iy, ix), the zero point where they leave the image. */
static TG_NOINLINE void tg_copy_tile(const tg_conv3x3_filled_cfg_t *cfg, const int8_t *x, int32_t iy, int32_t ix,
                                     int8_t *to)
{
    const int32_t in_c = cfg->in_c;
    const int32_t filled = cfg->tile.in_c;
    const tg_taps_t inside = tg_taps_inside(ix, cfg->in_w, 6, 1);
    const int32_t n = inside.end - inside.first;
    const int8_t *from = &x[((iy * cfg->in_w) + ix + inside.first) * in_c];
    for (int32_t r = 0; r < 6; ++r) {
        if ((uint32_t)(iy + r) >= cfg->in_h) {
            tg_fill_bytes(to, cfg->tile.in_zp, 6 * filled);
        } else {
            tg_fill_bytes(to, cfg->tile.in_zp, inside.first * filled);
            tg_copy_pixels(&to[inside.first * filled], filled, from, in_c, n, in_c);
            tg_fill_bytes(&to[inside.end * filled], cfg->tile.in_zp, (6 - inside.end) * filled);
        }
        to += 6 * filled;
        from += cfg->in_w * in_c;
    }
}

TG_SHARED void tg_conv3x3_filled_dsp(const tg_conv3x3_filled_cfg_t *cfg, const int8_t *x, const int32_t *w,
                                     const int32_t *m, int16_t *scratch, int8_t *y)
{
    const int32_t out_c = cfg->out_c;
    const int32_t filled = cfg->tile.out_c;
    const int32_t bytes = 36 * cfg->tile.in_c;
    int8_t *const image = (int8_t *)scratch;
    int8_t *const made = &image[bytes];
    int16_t *const room = &scratch[(bytes + (16 * filled)) / 2];
    tg_fill_bytes(image, 0, bytes); /* channels that are none hold what the weights of 0 may be multiplied with */
    for (int32_t oy = 0; oy < cfg->out_h; oy += 4) {
        const int32_t top = (oy < (cfg->out_h - 4)) ? oy : (cfg->out_h - 4); /* the last tile overlaps */
        for (int32_t ox = 0; ox < cfg->out_w; ox += 4) {
            const int32_t left = (ox < (cfg->out_w - 4)) ? ox : (cfg->out_w - 4);
            tg_copy_tile(cfg, x, top - cfg->pad_top, left - cfg->pad_left, image);
            tg_conv3x3_wino_dsp(&cfg->tile, image, w, m, room, made);
            for (int32_t r = 0; r < 4; ++r) {
                tg_copy_pixels(&y[(((top + r) * cfg->out_w) + left) * out_c], out_c, &made[4 * r * filled], filled, 4,
                               out_c);
            }
        }
    }
}
