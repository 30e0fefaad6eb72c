#include "tg_conv_pal_s8.h"

#include "tg_epilogue.h"
#include "tg_palette.h"

/** Where the window of an output pixel begins, perhaps outside the image. */
typedef struct {
    int32_t row;
    int32_t col;
} tg_pixel_t;

/** acc[j] += the next channel's weights times the windows of `count` (1 or 2) pixels; the zero point stands outside. */
static TG_NOINLINE void tg_conv_windows(const tg_conv_s8_cfg_t *cfg, const int8_t *x, const tg_pixel_t *pixel,
                                        int32_t count, tg_palette_t *p, int32_t acc[2])
{
    const int8_t zp = (int8_t)cfg->in_zp;
    const int32_t in_w = cfg->in_w;
    int32_t cols = (cfg->dil_w == 1U) ? cfg->k_w : 1; /* taps that are neighbours, in the image of all pixels */
    for (int32_t j = 0; j < count; ++j) {
        if ((pixel[j].col < 0) || ((pixel[j].col + cfg->k_w) > in_w)) {
            cols = 1;
        }
    }
    for (int32_t ky = 0; ky < cfg->k_h; ++ky) {
        for (int32_t kx = 0; kx < cfg->k_w; kx += cols) {
            const int8_t *from[2] = {&zp, &zp};
            int32_t step[2] = {0, 0};
            for (int32_t j = 0; j < count; ++j) {
                const int32_t iy = pixel[j].row + (ky * cfg->dil_h);
                const int32_t ix = pixel[j].col + (kx * cfg->dil_w);
                if (((uint32_t)iy < cfg->in_h) && ((uint32_t)ix < (uint32_t)in_w)) {
                    from[j] = &x[((iy * in_w) + ix) * cfg->in_c];
                    step[j] = 1;
                }
            }
            if ((step[0] + step[1]) == 2) {
                tg_palette_dot2(p, from[0], from[1], cols * cfg->in_c, acc);
            } else {
                const tg_palette_t start = *p;
                for (int32_t j = 0; j < count; ++j) {
                    *p = start;
                    acc[j] = tg_palette_dot(p, from[j], step[j], cols * cfg->in_c, acc[j]);
                }
            }
        }
    }
}

TG_SHARED void tg_conv_pal_s8(const tg_conv_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, const int8_t *table,
                              const int32_t *b, const int32_t *m, int8_t *y)
{
    const tg_output_t out = {cfg->shift, cfg->out_zp, cfg->lo, cfg->hi};
    const int32_t pixels = cfg->out_h * cfg->out_w;
    tg_palette_t p = tg_palette(table);
    int32_t words = 0;
    int32_t oy = 0;
    int32_t ox = 0;
    for (int32_t left = cfg->k_h * cfg->k_w * cfg->in_c; left > 0; left -= p.count) {
        ++words;
    }
    for (int32_t at = 0; at < pixels; at += 2) {
        const int32_t count = ((at + 1) < pixels) ? 2 : 1;
        const int32_t *v = w;
        tg_pixel_t pixel[2] = {{0, 0}, {0, 0}};
        for (int32_t j = 0; j < count; ++j) {
            pixel[j].row = (oy * cfg->stride_h) - cfg->pad_top;
            pixel[j].col = (ox * cfg->stride_w) - cfg->pad_left;
            ++ox;
            if (ox == cfg->out_w) {
                ox = 0;
                ++oy;
            }
        }
        for (int32_t c = 0; c < cfg->out_c; ++c) {
            int32_t acc[2] = {b[c], b[c]};
            v = tg_palette_start(&p, v, words);
            tg_conv_windows(cfg, x, pixel, count, &p, acc);
            for (int32_t j = 0; j < count; ++j) {
                tg_epilogue(&out, &acc[j], &m[c], 1, &y[(j * cfg->out_c) + c]);
            }
        }
        y += count * cfg->out_c;
    }
}
