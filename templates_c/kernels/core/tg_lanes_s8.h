/**
 * @file  tg_lanes_s8.h
 * @brief Convolution with two pixels in one multiplication, for cores without SIMD (Cortex-M0, M3).
 *
 * A word x[0] + 65536 * x[1] (an arithmetic sum) times a weight is a product in each of two 16-bit lanes. The generator
 * cuts the taps of a channel into groups over which no lane can leave int16, whatever the activations are
 * (kernels/lanes/pack.py); behind each group the lanes are added to sums of 32 bits.
 */
#ifndef TG_LANES_S8_H_INCLUDED
#define TG_LANES_S8_H_INCLUDED

#include "tg_conv_s8.h"
#include "tg_numerics.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A group of n taps begins with the byte TG_LANES_STEP * (TG_LANES_GROUP + 1 - n): how far the code for 8 pixels
 *  jumps into its unrolled taps. A byte of 0 ends the channel. */
#define TG_LANES_GROUP 11
#define TG_LANES_STEP 22

/** One tile (8 or 4 pixels) and the output channels that read it. The assembly knows the order of the fields. */
typedef struct {
    const int32_t *window; /**< [taps][pixels / 2] */
    const int8_t *w;       /**< groups of the next channel */
    const int32_t *b;      /**< of the next channel, zero point folded */
    const int32_t *m;      /**< of the next channel */
    int8_t *y;             /**< the next channel of the first pixel */
    int32_t channels;      /**< how many to do */
    int32_t rounding;      /**< half a step of the output, out_zp and -lo, before the shift */
    int32_t lo;
    int32_t stride; /**< from pixel to pixel in y */
    int32_t range;  /**< hi - lo */
    int32_t fast;   /**< 0: leave `sums` of one channel; else requantise and store (Cortex-M0: bits of the low part) */
    int32_t shift;
    int32_t sums[8];
} tg_lanes_t;

/** A kernel's own inner loop: `channels` channels of a tile, moving w and b (and m and y when `fast`) on. */
typedef void (*tg_lanes_channels_t)(tg_lanes_t *l, int32_t pixels);

/** to[i * step] = a[i] + 65536 * b[i], n >= 1 */
static TG_NOINLINE void tg_lanes_pair(int32_t *to, int32_t step, const int8_t *a, const int8_t *b, int32_t n)
{
#if TG_SMALL_CORE
    const int8_t *const a_end = &a[n];
    const int8_t *const b_end = &b[n];
    for (int32_t i = -n; i != 0; ++i) { /* unrolled it would spill */
        to[0] = a_end[i] + (b_end[i] * 65536);
        to += step;
    }
#else
    for (; n >= 4; n -= 4) {
        to[0] = a[0] + (b[0] * 65536);
        to[step] = a[1] + (b[1] * 65536);
        to += 2 * step;
        to[0] = a[2] + (b[2] * 65536);
        to[step] = a[3] + (b[3] * 65536);
        to += 2 * step;
        a += 4;
        b += 4;
    }
    for (; n > 0; --n) {
        to[0] = *a + (*b * 65536);
        to += step;
        ++a;
        ++b;
    }
#endif
}

/** The same for one or both of the pixels outside the image: their step is 0, and they stay on the zero point. */
static TG_NOINLINE void tg_lanes_edge(int32_t *to, int32_t step, const int8_t *a, int32_t a_step, const int8_t *b,
                                      int32_t b_step, int32_t n)
{
    for (; n > 0; --n) {
        to[0] = *a + (*b * 65536);
        to += step;
        a += a_step;
        b += b_step;
    }
}

/** What an output pixel reads: image row and column of tap (0, 0), perhaps outside, and its offset in the image. */
typedef struct {
    int32_t row;
    int32_t col;
    int32_t at;
} tg_lanes_pixel_t;

static TG_NOINLINE void tg_lanes_pixel(const tg_conv_s8_cfg_t *cfg, int32_t oy, int32_t ox, tg_lanes_pixel_t *p)
{
    p->row = (oy * cfg->stride_h) - cfg->pad_top;
    p->col = (ox * cfg->stride_w) - cfg->pad_left;
    p->at = ((p->row * cfg->in_w) + p->col) * cfg->in_c;
}

/** A row of taps, n channels each, of pixels of which not every tap is inside. */
static TG_NOINLINE void tg_lanes_border(const tg_conv_s8_cfg_t *cfg, const int8_t *x, const tg_lanes_pixel_t *a,
                                        const tg_lanes_pixel_t *b, int32_t *to, int32_t step, int32_t n)
{
    const int8_t zp = (int8_t)cfg->in_zp;
    const int32_t in_w = cfg->in_w;
    const int32_t dil = cfg->dil_w;
    /* a row outside has no columns */
    const uint32_t a_w = ((uint32_t)a->row < cfg->in_h) ? (uint32_t)in_w : 0U;
    const uint32_t b_w = ((uint32_t)b->row < cfg->in_h) ? (uint32_t)in_w : 0U;
    int32_t offset = 0;
    for (int32_t col = 0; col < (cfg->k_w * dil); col += dil) {
        const int32_t in_a = ((uint32_t)(a->col + col) < a_w) ? 1 : 0;
        const int32_t in_b = ((uint32_t)(b->col + col) < b_w) ? 1 : 0;
        if ((in_a + in_b) == 2) {
            tg_lanes_pair(to, step, &x[a->at + offset], &x[b->at + offset], n);
        } else {
            tg_lanes_edge(to, step, (in_a != 0) ? &x[a->at + offset] : &zp, in_a,
                          (in_b != 0) ? &x[b->at + offset] : &zp, in_b, n);
        }
        to += n * step;
        offset += dil * cfg->in_c;
    }
}

/** Nonzero when every column that the pixel reads is inside the image. */
static inline int32_t tg_lanes_inside(const tg_conv_s8_cfg_t *cfg, const tg_lanes_pixel_t *p)
{
    return ((p->col >= 0) && ((p->col + ((cfg->k_w - 1) * cfg->dil_w)) < cfg->in_w)) ? 1 : 0;
}

/** What the pixels a and b read, n channels from x on, as every `step`-th word from `to` on; a and b move down. */
static TG_NOINLINE void tg_lanes_pixels(const tg_conv_s8_cfg_t *cfg, const int8_t *x, tg_lanes_pixel_t *a,
                                        tg_lanes_pixel_t *b, int32_t *to, int32_t step, int32_t n)
{
    const int32_t run = cfg->k_w * n;
    const int32_t down = cfg->dil_h * cfg->in_w * cfg->in_c;
    /* the taps of a kernel row are neighbours in the image */
    const int32_t whole = (((cfg->dil_w == 1U) || (cfg->k_w == 1U)) && ((cfg->groups == 1U) || (cfg->k_w == 1U)) &&
                           (tg_lanes_inside(cfg, a) != 0) && (tg_lanes_inside(cfg, b) != 0))
                              ? 1
                              : 0;
    for (int32_t ky = cfg->k_h; ky > 0; --ky) {
        if ((whole != 0) && ((uint32_t)a->row < cfg->in_h) && ((uint32_t)b->row < cfg->in_h)) {
            tg_lanes_pair(to, step, &x[a->at], &x[b->at], run);
        } else {
            tg_lanes_border(cfg, x, a, b, to, step, n);
        }
        to += run * step;
        a->row += cfg->dil_h;
        b->row += cfg->dil_h;
        a->at += down;
        b->at += down;
    }
}

/** The window of `pixels` pixels from output position (oy, ox) on, in the order of the output; n channels from x on. */
static TG_NOINLINE void tg_lanes_window(const tg_conv_s8_cfg_t *cfg, const int8_t *x, int32_t n, int32_t oy, int32_t ox,
                                        int32_t pixels, int32_t *window)
{
    const int32_t step = pixels / 2;
    for (int32_t i = 0; i < step; ++i) {
        tg_lanes_pixel_t p[2];
        for (int32_t j = 0; j < 2; ++j) {
            tg_lanes_pixel(cfg, oy, ox, &p[j]);
            ++ox;
            if (ox == cfg->out_w) {
                ox = 0;
                ++oy;
            }
        }
        tg_lanes_pixels(cfg, x, &p[0], &p[1], &window[i], step, n);
    }
}

/** What the assembly does, in C: l->sums of the next channel. */
static inline void tg_lanes_sums(tg_lanes_t *l, int32_t pixels)
{
    const int32_t words = pixels / 2;
    const int32_t *x = l->window;
    const uint32_t bias = (uint32_t)l->b[0];
    uint32_t acc[4];    /* both lanes, modulo 2^32 */
    uint32_t before[4]; /* the same at the end of the last group */
    uint32_t upper[4];  /* the whole sum of the upper lane */
    for (int32_t i = 0; i < words; ++i) {
        acc[i] = bias * 65537U;
        before[i] = acc[i];
        upper[i] = bias;
    }
    for (uint32_t mark = (uint8_t)*l->w; mark != 0U; mark = (uint8_t)*l->w) {
        ++l->w;
        for (uint32_t n = mark / TG_LANES_STEP; n <= TG_LANES_GROUP; ++n) {
            for (int32_t i = 0; i < words; ++i) {
                acc[i] += (uint32_t)x[i] * (uint32_t)(int32_t)*l->w;
            }
            x += words;
            ++l->w;
        }
        for (int32_t i = 0; i < words; ++i) {
            /* the lower lane is in [-2^15, 2^15): half a step makes up for what it borrowed */
            upper[i] += (uint32_t)((int32_t)(acc[i] - before[i] + 0x8000U) >> 16);
            before[i] = acc[i];
        }
    }
    ++l->w;
    ++l->b;
    for (int32_t i = 0; i < words; ++i) {
        l->sums[2 * i] = (int32_t)(acc[i] - (upper[i] << 16));
        l->sums[(2 * i) + 1] = (int32_t)upper[i];
    }
}

/** l->sums as outputs of one channel, whatever the shift and the multiplier. */
static TG_NOINLINE void tg_lanes_requant(const tg_conv_s8_cfg_t *cfg, const tg_lanes_t *l, int32_t pixels)
{
    const int32_t m = l->m[0];
    int8_t *y = l->y;
    if ((cfg->shift > 32U) && (cfg->shift <= 54U)) {
        const int32_t shift = cfg->shift - 32;
        const int32_t rounding = (int32_t)((1UL << shift) >> 1) + ((cfg->out_zp - l->lo) * (int32_t)(1UL << shift));
        for (int32_t i = 0; i < pixels; ++i) {
            *y = (int8_t)(l->lo + tg_clamp((tg_mul_high(l->sums[i], m) + rounding) >> shift, 0, l->range));
            y += l->stride;
        }
    } else {
        for (int32_t i = 0; i < pixels; ++i) {
            *y = tg_requant_clamp(l->sums[i], m, cfg->shift, cfg->out_zp, cfg->lo, cfg->hi);
            y += l->stride;
        }
    }
}

/** All channels of a tile that read the same window. */
static inline void tg_lanes_tile(const tg_conv_s8_cfg_t *cfg, tg_lanes_t *l, int32_t pixels, int32_t channels,
                                 tg_lanes_channels_t run)
{
    if (l->fast != 0) {
        l->channels = channels;
        run(l, pixels);
    } else {
        for (; channels > 0; --channels) {
            l->channels = 1;
            run(l, pixels);
            tg_lanes_requant(cfg, l, pixels);
            ++l->m;
            ++l->y;
        }
    }
}

/** The layer; l: w, b, m, rounding, fast and shift are set. The last tile overlaps the one before it. */
static inline void tg_lanes_conv(const tg_conv_s8_cfg_t *cfg, const int8_t *x, tg_lanes_t *l, int32_t *window,
                                 int8_t *y, tg_lanes_channels_t run)
{
    const tg_lanes_t first = *l;
    const int8_t *const w = l->w;
    const int32_t tile = w[0];
    const int32_t all = cfg->out_h * cfg->out_w;
    const int32_t groups = cfg->groups;
    const int32_t in_c = (groups == 1) ? cfg->in_c : (cfg->in_c / groups);
    const int32_t out_c = (groups == 1) ? cfg->out_c : (cfg->out_c / groups);
    int32_t oy = 0;
    int32_t ox = 0;
    for (int32_t p = 0; p < all;) {
        const int32_t pixels = ((tile == 8) && ((all - p) > 4)) ? 8 : 4;
        for (; p > (all - pixels); --p) {
            if (ox == 0) {
                ox = cfg->out_w;
                --oy;
            }
            --ox;
        }
        l->w = &w[1];
        l->b = first.b;
        l->m = first.m;
        l->y = &y[p * cfg->out_c];
        for (int32_t g = 0; g < groups; ++g) {
            tg_lanes_window(cfg, &x[g * in_c], in_c, oy, ox, pixels, window);
            tg_lanes_tile(cfg, l, pixels, out_c, run);
        }
        p += pixels;
        ox += pixels;
        while (ox >= cfg->out_w) {
            ox -= cfg->out_w;
            ++oy;
        }
    }
}

/** What does not depend on how a core requantises. */
static inline tg_lanes_t tg_lanes_layer(const tg_conv_s8_cfg_t *cfg, const int32_t *window, const int8_t *w,
                                        const int32_t *b, const int32_t *m)
{
    const tg_lanes_t l = {
        window, w, b, m, NULL, 0, 0, cfg->lo, cfg->out_c, cfg->hi - cfg->lo, 0, 0, {0, 0, 0, 0, 0, 0, 0, 0}};
    return l;
}

/** Rounding constant for a final shift by `shift`: half a step, out_zp, and -lo, which the last step adds again. */
static inline void tg_lanes_round(const tg_conv_s8_cfg_t *cfg, tg_lanes_t *l, int32_t shift)
{
    l->shift = shift;
    l->rounding = (int32_t)((1UL << shift) >> 1) + ((cfg->out_zp - cfg->lo) * (int32_t)(1UL << shift));
}

/** v + lo where 0 <= v <= range, else the nearer bound. */
static inline int8_t tg_lanes_clamp(const tg_lanes_t *l, int32_t v)
{
    return (int8_t)(tg_clamp(v, 0, l->range) + l->lo);
}

#ifdef __cplusplus
}
#endif

#endif /* TG_LANES_S8_H_INCLUDED */
