#include "tg_conv_s8_dsp.h"

#include "tg_epilogue_dsp.h"
#include "tg_window.h"

/** Four channels (c, d of the first pair; e, f of the second) at two pixels (0, 1). */
typedef struct {
    int32_t c0, d0, e0, f0;
    int32_t c1, d1, e1, f1;
} tg_acc8_t;

/** Pair i of taps: 16 products. The raw word gives 256 * odd + even; its even bytes alone give even.
 *  The odd sum must stay below 2^23: sum |w| < 2^16, checked by the generator. */
static TG_INLINE void tg_conv_pair(tg_acc8_t *s, const int32_t *w, const int16_t *a, int32_t i)
{
    const uint32_t x0 = tg_load32(&a[4 * i]);
    const uint32_t x1 = tg_load32(&a[(4 * i) + 2]);
    uint32_t v = (uint32_t)w[2 * i];
    s->d0 = tg_smlad(v, x0, s->d0);
    s->d1 = tg_smlad(v, x1, s->d1);
    v = tg_sxtb16(v);
    s->c0 = tg_smlad(v, x0, s->c0);
    s->c1 = tg_smlad(v, x1, s->c1);
    v = (uint32_t)w[(2 * i) + 1];
    s->f0 = tg_smlad(v, x0, s->f0);
    s->f1 = tg_smlad(v, x1, s->f1);
    v = tg_sxtb16(v);
    s->e0 = tg_smlad(v, x0, s->e0);
    s->e1 = tg_smlad(v, x1, s->e1);
    TG_STAY();
}

/** 4 * blocks channels at two pixels. window: [pairs][pixel][2]; y0 and y1 may be one and the same. */
static TG_NOINLINE void tg_conv_channels(const tg_output_dsp_t *o, const int16_t *window, int32_t pairs, int32_t blocks,
                                         const int32_t *w, const int32_t *b, const int32_t *m, int8_t *y0, int8_t *y1)
{
    for (; blocks > 0; --blocks) {
        const int16_t *a = window;
        const int32_t *const w_end = &w[2 * pairs];
        const int32_t *const w_end4 = &w[2 * (pairs & ~3)];
        tg_acc8_t s;
        s.c0 = b[0];
        s.e0 = b[2];
        s.c1 = s.c0;
        s.d0 = s.c0;
        s.d1 = s.c0;
        s.e1 = s.e0;
        s.f0 = s.e0;
        s.f1 = s.e0;
        while (w != w_end4) {
            tg_conv_pair(&s, w, a, 0);
            tg_conv_pair(&s, w, a, 1);
            tg_conv_pair(&s, w, a, 2);
            tg_conv_pair(&s, w, a, 3);
            a += 16;
            w += 8;
        }
        while (w != w_end) {
            tg_conv_pair(&s, w, a, 0);
            a += 4;
            w += 2;
        }
        tg_store_dsp(o, s.c0, b[1] + tg_odd_sum(s.d0, s.c0), s.e0, b[3] + tg_odd_sum(s.f0, s.e0), m, y0);
        tg_store_dsp(o, s.c1, b[1] + tg_odd_sum(s.d1, s.c1), s.e1, b[3] + tg_odd_sum(s.f1, s.e1), m, y1);
        b += 4;
        m += 4;
        y0 += 4;
        y1 += 4;
    }
}

/**
 * `rows` runs of n bytes, each `step` behind the one before, as pairs of halves: to every other word of dst, those
 * between belong to the other pixel. Returns the end.
 */
static TG_NOINLINE int16_t *tg_conv_widen(const int8_t *x, int32_t n, int32_t rows, int32_t step, int16_t *dst)
{
    for (; rows > 0; --rows) {
        const int8_t *v = x;
        const int8_t *const end4 = &x[n & ~3];
        while (v != end4) {
            const uint32_t word = tg_load32(v);
            const uint32_t even = tg_sxtb16(word);
            const uint32_t odd = tg_sxtb16_ror8(word);
            tg_store32(dst, tg_pkhbt(even, odd));
            tg_store32(&dst[4], tg_pkhtb(even, odd));
            dst += 8;
            v += 4;
        }
        if ((n & 2) != 0) {
            tg_store32(dst, tg_pkhbt((uint32_t)v[0], (uint32_t)v[1]));
            dst += 4;
            v += 2;
        }
        if ((n & 1) != 0) {
            tg_store32(dst, (uint32_t)v[0] & 0xFFFFU); /* the other half meets a weight of 0 */
            dst += 4;
        }
        x += step;
    }
    return dst;
}

/** The layer, with what its pixels share worked out once. */
typedef struct {
    const tg_conv_s8_cfg_t *cfg;
    const int8_t *x;
    int8_t *edge; /**< room for one run of bytes */
    int32_t run;  /**< bytes that are neighbours in the image: a kernel row, or one tap when the kernel is dilated */
    int32_t cols; /**< taps of one run */
    int32_t step; /**< from run to run, in columns of the image */
} tg_layer_t;

/** The window of a pixel that is not wholly inside the image, with the zero point where it is outside. */
static TG_NOINLINE void tg_conv_border(const tg_layer_t *l, int32_t iy, int32_t ix, int16_t *dst)
{
    const tg_conv_s8_cfg_t *const cfg = l->cfg;
    const int32_t in_c = cfg->in_c;
    const int32_t x_end = ix + (cfg->k_w * cfg->dil_w);
    int32_t blank = 0; /* the edge buffer holds nothing but the zero point */
    for (int32_t ky = 0; ky < cfg->k_h; ++ky) {
        for (int32_t col = ix; col < x_end; col += l->step) {
            const int8_t *run = l->edge;
            tg_taps_t t = {0, 0};
            if ((uint32_t)iy < cfg->in_h) {
                t = tg_taps_inside(col, cfg->in_w, l->cols, 1);
            }
            if ((t.end - t.first) == l->cols) {
                run = &l->x[((iy * cfg->in_w) + col) * in_c];
            } else {
                if (blank == 0) {
                    (void)memset(l->edge, cfg->in_zp, (size_t)l->run);
                    blank = 1;
                }
                if (t.end > t.first) { /* the same columns in each row: only a row outside needs it blank again */
                    (void)memcpy(&l->edge[t.first * in_c], &l->x[((iy * cfg->in_w) + col + t.first) * in_c],
                                 (size_t)((t.end - t.first) * in_c));
                }
            }
            dst = tg_conv_widen(run, l->run, 1, 0, dst);
        }
        iy += cfg->dil_h;
        if (iy >= cfg->in_h) {
            blank = 0;
        }
    }
}

/** The window of one pixel; (iy, ix) is the image position of tap (0, 0). */
static TG_NOINLINE void tg_conv_fill(const tg_layer_t *l, int32_t iy, int32_t ix, int16_t *dst)
{
    const tg_conv_s8_cfg_t *const cfg = l->cfg;
    const int32_t y_last = iy + ((cfg->k_h - 1) * cfg->dil_h);
    const int32_t x_last = ix + ((cfg->k_w - 1) * cfg->dil_w);
    const int32_t whole = ((iy >= 0) && (ix >= 0) && (y_last < cfg->in_h) && (x_last < cfg->in_w)) ? 1 : 0;
    if ((whole != 0) && (l->cols == cfg->k_w)) {
        const int32_t row = cfg->in_w * cfg->in_c;
        (void)tg_conv_widen(&l->x[(iy * row) + (ix * cfg->in_c)], l->run, cfg->k_h, cfg->dil_h * row, dst);
    } else {
        tg_conv_border(l, iy, ix, dst);
    }
}

TG_SHARED void tg_conv_s8_dsp(const tg_conv_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, const int32_t *b,
                              const int32_t *m, int16_t *scratch, int8_t *y)
{
    const tg_output_dsp_t o = tg_output_dsp(cfg->shift, cfg->out_zp, cfg->lo, cfg->hi);
    const int32_t cols = (cfg->dil_w == 1U) ? cfg->k_w : 1;
    const int32_t run = cols * cfg->in_c;
    const int32_t pairs = cfg->k_h * (cfg->k_w / cols) * ((run + 1) / 2);
    const tg_layer_t l = {cfg, x, (int8_t *)&scratch[4 * pairs], run, cols, (cols > 1) ? cols : cfg->dil_w};
    /* every pixel is read once, in order: no window to look for */
    const int32_t pointwise =
        (((cfg->k_h * cfg->k_w) == 1) && ((cfg->stride_h * cfg->stride_w) == 1) &&
         ((cfg->pad_top + cfg->pad_left) == 0) && (cfg->out_h == cfg->in_h) && (cfg->out_w == cfg->in_w))
            ? 1
            : 0;
    const int32_t pixels = cfg->out_h * cfg->out_w;
    const int32_t blocks = cfg->out_c / 4;
    const int32_t rest = cfg->out_c % 4;
    int32_t oy = 0;
    int32_t ox = 0;
    for (int32_t p = 0; p < pixels; p += 2) {
        int8_t *const y1 = ((p + 1) < pixels) ? &y[cfg->out_c] : y;
        for (int32_t slot = 0; slot < 2; ++slot) {
            int16_t *const window = &scratch[2 * slot];
            if (pointwise != 0) {
                (void)tg_conv_widen(&x[((oy * cfg->out_w) + ox) * run], run, 1, 0, window);
            } else {
                tg_conv_fill(&l, (oy * cfg->stride_h) - cfg->pad_top, (ox * cfg->stride_w) - cfg->pad_left, window);
            }
            if ((p + 1) < pixels) { /* an odd last pixel fills both halves of the window */
                ++ox;
                if (ox == cfg->out_w) {
                    ox = 0;
                    ++oy;
                }
            }
        }
        tg_conv_channels(&o, scratch, pairs, blocks, w, b, m, y, y1);
        if (rest > 0) {
            const int32_t c = 4 * blocks;
            int8_t part[8];
            tg_conv_channels(&o, scratch, pairs, 1, &w[(c / 2) * pairs], &b[c], &m[c], part, &part[4]);
            (void)memcpy(&y[c], part, (size_t)rest);
            (void)memcpy(&y1[c], &part[4], (size_t)rest);
        }
        tg_clamp_dsp(&o, y, cfg->out_c);
        tg_clamp_dsp(&o, y1, cfg->out_c);
        y = &y1[cfg->out_c];
    }
}
