#include "tg_dwconv_s8_dsp.h"

#include "tg_epilogue_dsp.h"

/** Four channels. */
typedef struct {
    int32_t c, d, e, f;
} tg_acc4_t;

/** The window of one pixel: where it starts, and from tap to tap and row to row. */
typedef struct {
    const int8_t *x;
    int32_t tap;
    int32_t row;
} tg_view_t;

static TG_INLINE void tg_dwconv_tap(tg_acc4_t *s, uint32_t x, uint32_t w)
{
    const uint32_t x_even = tg_sxtb16(x);
    const uint32_t x_odd = tg_sxtb16_ror8(x);
    const uint32_t w_even = tg_sxtb16(w);
    const uint32_t w_odd = tg_sxtb16_ror8(w);
    s->c = tg_smlabb(x_even, w_even, s->c);
    s->e = tg_smlatt(x_even, w_even, s->e);
    s->d = tg_smlabb(x_odd, w_odd, s->d);
    s->f = tg_smlatt(x_odd, w_odd, s->f);
    TG_STAY();
}

/** Three taps of one row. */
static TG_INLINE void tg_dwconv_row3(tg_acc4_t *s, const int8_t *x, int32_t tap, const int32_t *w)
{
    tg_dwconv_tap(s, tg_load32(x), (uint32_t)w[0]);
    tg_dwconv_tap(s, tg_load32(&x[tap]), (uint32_t)w[1]);
    tg_dwconv_tap(s, tg_load32(&x[2 * tap]), (uint32_t)w[2]);
}

/** 4 * blocks channels of one pixel, 3 x 3 kernel: most depthwise layers are nothing else. */
static TG_NOINLINE void tg_dwconv_3x3(const tg_output_dsp_t *o, const tg_view_t *view, int32_t c, int32_t blocks,
                                      const int32_t *w, const int32_t *b, const int32_t *m, int8_t *y)
{
    const int8_t *x = &view->x[c];
    const int32_t tap = view->tap;
    const int32_t row = view->row;
    for (; blocks > 0; --blocks) {
        tg_acc4_t s = {b[0], b[1], b[2], b[3]};
        tg_dwconv_row3(&s, x, tap, w);
        tg_dwconv_row3(&s, &x[row], tap, &w[3]);
        tg_dwconv_row3(&s, &x[2 * row], tap, &w[6]);
        tg_store_dsp(o, s.c, s.d, s.e, s.f, m, y);
        x += 4;
        w += 9;
        b += 4;
        m += 4;
        y += 4;
    }
}

/** The same for any kernel. */
static TG_NOINLINE void tg_dwconv_any(const tg_dwconv_s8_cfg_t *cfg, const tg_output_dsp_t *o, const tg_view_t *view,
                                      int32_t c, int32_t blocks, const int32_t *w, const int32_t *b, const int32_t *m,
                                      int8_t *y)
{
    const int8_t *x = &view->x[c];
    for (; blocks > 0; --blocks) {
        const int8_t *x_row = x;
        tg_acc4_t s = {b[0], b[1], b[2], b[3]};
        for (int32_t ky = cfg->k_h; ky > 0; --ky) {
            const int8_t *v = x_row;
            for (int32_t kx = cfg->k_w; kx > 0; --kx) {
                tg_dwconv_tap(&s, tg_load32(v), (uint32_t)*w);
                ++w;
                v += view->tap;
            }
            x_row += view->row;
        }
        tg_store_dsp(o, s.c, s.d, s.e, s.f, m, y);
        x += 4;
        b += 4;
        m += 4;
        y += 4;
    }
}

/** 4 * blocks channels of one pixel, from channel c on. */
static inline void tg_dwconv_blocks(const tg_dwconv_s8_cfg_t *cfg, const tg_output_dsp_t *o, const tg_view_t *view,
                                    int32_t c, int32_t blocks, const int32_t *w, const int32_t *b, const int32_t *m,
                                    int8_t *y)
{
    if ((cfg->k_h == 3U) && (cfg->k_w == 3U)) {
        tg_dwconv_3x3(o, view, c, blocks, w, &b[c], &m[c], &y[c]);
    } else {
        tg_dwconv_any(cfg, o, view, c, blocks, w, &b[c], &m[c], &y[c]);
    }
}

static inline void tg_dwconv_pixel(const tg_dwconv_s8_cfg_t *cfg, const tg_output_dsp_t *o, const tg_view_t *view,
                                   const int32_t *w, const int32_t *b, const int32_t *m, int8_t *y)
{
    const int32_t channels = cfg->out_c;
    const int32_t blocks = channels / 4;
    tg_dwconv_blocks(cfg, o, view, 0, blocks, w, b, m, y);
    if ((channels % 4) != 0) { /* the last four end where the pixel ends, and overlap those before */
        tg_dwconv_blocks(cfg, o, view, channels - 4, 1, &w[blocks * cfg->k_h * cfg->k_w], b, m, y);
    }
    tg_clamp_dsp(o, y, channels);
}

/** The window of a pixel at the border, with the zero point where it is outside; (iy, ix) is tap (0, 0). */
static TG_NOINLINE void tg_dwconv_patch(const tg_dwconv_s8_cfg_t *cfg, const int8_t *x, int32_t iy, int32_t ix,
                                        int8_t *patch)
{
    const int32_t in_c = cfg->in_c;
    for (int32_t ky = 0; ky < cfg->k_h; ++ky) {
        int32_t col = ix;
        for (int32_t kx = 0; kx < cfg->k_w; ++kx) {
            if (((uint32_t)iy < cfg->in_h) && ((uint32_t)col < cfg->in_w)) {
                (void)memcpy(patch, &x[((iy * cfg->in_w) + col) * in_c], (size_t)in_c);
            } else {
                (void)memset(patch, cfg->in_zp, (size_t)in_c);
            }
            patch += in_c;
            col += cfg->dil_w;
        }
        iy += cfg->dil_h;
    }
}

TG_SHARED void tg_dwconv_s8_dsp(const tg_dwconv_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, const int32_t *b,
                                const int32_t *m, int16_t *scratch, int8_t *y)
{
    const tg_output_dsp_t o = tg_output_dsp(cfg->shift, cfg->out_zp, cfg->lo, cfg->hi);
    const int32_t in_c = cfg->in_c;
    int8_t *const patch = (int8_t *)scratch;
    const tg_view_t border = {patch, in_c, cfg->k_w * in_c};
    for (int32_t oy = 0; oy < cfg->out_h; ++oy) {
        const int32_t iy = (oy * cfg->stride_h) - cfg->pad_top;
        for (int32_t ox = 0; ox < cfg->out_w; ++ox) {
            const int32_t ix = (ox * cfg->stride_w) - cfg->pad_left;
            if ((iy >= 0) && (ix >= 0) && ((iy + ((cfg->k_h - 1) * cfg->dil_h)) < cfg->in_h) &&
                ((ix + ((cfg->k_w - 1) * cfg->dil_w)) < cfg->in_w)) {
                const tg_view_t inside = {&x[((iy * cfg->in_w) + ix) * in_c], cfg->dil_w * in_c,
                                          cfg->dil_h * cfg->in_w * in_c};
                tg_dwconv_pixel(cfg, &o, &inside, w, b, m, y);
            } else {
                tg_dwconv_patch(cfg, x, iy, ix, patch);
                tg_dwconv_pixel(cfg, &o, &border, w, b, m, y);
            }
            y += cfg->out_c;
        }
    }
}
