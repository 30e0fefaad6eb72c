/**
 * @file  tg_pixels_dsp.h
 * @brief What drivers of tiles share: the walk over a layer's pixels, four at a time, and where their windows are.
 */
#ifndef TG_PIXELS_DSP_H_INCLUDED
#define TG_PIXELS_DSP_H_INCLUDED

#include "tg_epilogue_dsp.h"
#include "tg_image_dsp.h"
#include "tg_tile_dsp.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The layer, with what its pixels share worked out once. */
typedef struct {
    const tg_tiles_s8_cfg_t *cfg;
    const int8_t *x;
    int32_t in_h; /**< of the image, or of its copy with borders */
    int32_t in_w;
    int32_t pad_top;
    int32_t pad_left;
    int8_t *edge;    /**< room for the windows of four pixels */
    int32_t taps;    /**< bytes of one tap: the channels of a group */
    int32_t cols;    /**< taps of a run of neighbouring bytes: a kernel row, or one */
    int32_t inside;  /**< 1: no window leaves the image */
    int32_t uniform; /**< 1: the runs of a window have one step */
    int32_t step;
} tg_layer_t;

/** A pixel: its place in the order of the walk, its window in the image, its output. */
typedef struct {
    int32_t inner;
    int32_t outer;
    int32_t x;
    int32_t y;
} tg_pixel_t;

/** The walk over the output: along a row, or along a column. */
typedef struct {
    int32_t count; /**< pixels of a row or column */
    int32_t x;     /**< bytes from window to window along it, and from the end of one to the start of the next */
    int32_t x_turn;
    int32_t y;
    int32_t y_turn;
} tg_walk_t;

static TG_INLINE void tg_next(const tg_walk_t *walk, tg_pixel_t *at)
{
    ++at->inner;
    at->x += walk->x;
    at->y += walk->y;
    if (at->inner == walk->count) {
        at->inner = 0;
        ++at->outer;
        at->x += walk->x_turn;
        at->y += walk->y_turn;
    }
}

/** All taps of one pixel, one behind the other, with the zero point where they are outside. Returns the end. */
static TG_NOINLINE int8_t *tg_gather(const tg_layer_t *l, int32_t iy, int32_t left, int8_t *to)
{
    const tg_tiles_s8_cfg_t *const cfg = l->cfg;
    const int32_t taps = l->taps;
    for (int32_t ky = 0; ky < cfg->k_h; ++ky) {
        const int8_t *const row = &l->x[iy * l->in_w * cfg->in_c];
        int32_t ix = left;
        for (int32_t kx = 0; kx < cfg->k_w; kx += l->cols) {
            const int32_t n = l->cols * taps;
            if (((uint32_t)iy < (uint32_t)l->in_h) && (ix >= 0) && ((ix + l->cols) <= l->in_w)) {
                tg_copy_bytes(to, &row[ix * cfg->in_c], n);
            } else {
                for (int32_t c = 0; c < l->cols; ++c) {
                    if (((uint32_t)iy < (uint32_t)l->in_h) && ((uint32_t)(ix + c) < (uint32_t)l->in_w)) {
                        tg_copy_bytes(&to[c * taps], &row[(ix + c) * cfg->in_c], taps);
                    } else {
                        tg_fill_bytes(&to[c * taps], cfg->in_zp, taps);
                    }
                }
            }
            to += n;
            ix += l->cols * cfg->dil_w;
        }
        iy += cfg->dil_h;
    }
    return to;
}

/** Where the windows of four pixels are when they may leave the image: in it, or else gathered behind one another. */
static TG_NOINLINE void tg_locate(const tg_layer_t *l, const tg_pixel_t pixel[4], tg_tile_t *t)
{
    const tg_tiles_s8_cfg_t *const cfg = l->cfg;
    int32_t iy[4];
    int32_t ix[4];
    int32_t whole = l->uniform;
    for (int32_t p = 0; p < 4; ++p) {
        const int32_t oy = (cfg->swap != 0U) ? pixel[p].inner : pixel[p].outer;
        const int32_t ox = (cfg->swap != 0U) ? pixel[p].outer : pixel[p].inner;
        iy[p] = (oy * cfg->stride_h) - l->pad_top;
        ix[p] = (ox * cfg->stride_w) - l->pad_left;
        if ((iy[p] < 0) || (ix[p] < 0) || ((iy[p] + ((cfg->k_h - 1) * cfg->dil_h)) >= l->in_h) ||
            ((ix[p] + ((cfg->k_w - 1) * cfg->dil_w)) >= l->in_w)) {
            whole = 0;
        }
    }
    t->step = l->step;
    if (whole == 0) {
        int8_t *to = l->edge;
        for (int32_t p = 0; p < 4; ++p) {
            t->x[p] = to;
            to = tg_gather(l, iy[p], ix[p], to);
        }
        t->step = 0;
    }
}

/** n pixels that follow each other from `at`, and the last of them again up to four. `more`: go on behind them. */
static TG_INLINE void tg_four(const tg_walk_t *walk, tg_pixel_t *at, int32_t n, int32_t more, tg_pixel_t pixel[4])
{
    for (int32_t p = 0; p < 4; ++p) {
        pixel[p] = *at;
        if ((p + 1) < n) {
            tg_next(walk, at);
        }
    }
    if (more != 0) {
        tg_next(walk, at);
    }
}

/**
 * Works out what all tiles share, and copies the image to `room` where the layer wants its borders around it. Returns
 * what a tile's kernel is told; `start` is the first pixel.
 */
static TG_INLINE tg_tile_t tg_begin(const tg_tiles_s8_cfg_t *cfg, const tg_output_dsp_t *o, const int8_t *x,
                                    int8_t *room, tg_layer_t *l, tg_walk_t *walk, tg_pixel_t *start)
{
    const int32_t groups = cfg->groups;
    const int32_t neighbours = ((cfg->dil_w == 1U) && (groups == 1)) ? 1 : 0;
    const int32_t by_column = ((neighbours == 0) && (cfg->k_w > 1U)) ? 1 : 0;
    tg_tile_t t;
    (void)memset(&t, 0, sizeof t);

    l->cfg = cfg;
    l->x = x;
    l->in_h = cfg->in_h;
    l->in_w = cfg->in_w;
    l->pad_top = cfg->pad_top;
    l->pad_left = cfg->pad_left;
    l->edge = room;
    l->taps = cfg->in_c / groups;
    l->cols = (neighbours != 0) ? cfg->k_w : 1;
    if (cfg->image_h != 0U) {
        tg_frame_image(room, cfg->image_h, cfg->image_w * cfg->in_c, x, cfg->in_h, cfg->in_w * cfg->in_c, cfg->pad_top,
                       cfg->pad_left * cfg->in_c, cfg->in_zp);
        l->x = room;
        l->in_h = cfg->image_h;
        l->in_w = cfg->image_w;
        l->pad_top = 0;
        l->pad_left = 0;
    }
    const int32_t reach_h = ((cfg->out_h - 1) * cfg->stride_h) + ((cfg->k_h - 1) * cfg->dil_h);
    const int32_t reach_w = ((cfg->out_w - 1) * cfg->stride_w) + ((cfg->k_w - 1) * cfg->dil_w);
    l->uniform = ((neighbours != 0) || (cfg->k_h == 1U) || (cfg->k_w == 1U)) ? 1 : 0;
    l->inside =
        ((l->uniform != 0) && ((l->pad_top + l->pad_left) == 0) && (reach_h < l->in_h) && (reach_w < l->in_w)) ? 1 : 0;
    const int32_t row = l->in_w * cfg->in_c;
    const int32_t run = l->cols * l->taps;
    l->step = ((by_column != 0) ? (cfg->dil_w * cfg->in_c) : (cfg->dil_h * row)) - run;

    t.offset = o->offset;
    t.shift = (int32_t)o->shift;
    t.y_channel = (cfg->out_c > cfg->groups) ? cfg->y_channel : 0; /* a single channel is its own other one */
    t.pair_bytes = 4 * cfg->pairs;
    t.quads = run / 4;
    t.tail = run % 4;
    t.runs = (cfg->rows != 0U) ? (cfg->rows / 4) : (cfg->k_h * (cfg->k_w / l->cols));
    t.step = (cfg->rows != 0U) ? ((4 * row) - run) : l->step;

    const int32_t down = cfg->stride_h * row;
    const int32_t right = cfg->stride_w * cfg->in_c;
    const tg_walk_t by_rows = {cfg->out_w, right, down - (cfg->out_w * right), cfg->y_col,
                               cfg->y_row - (cfg->out_w * cfg->y_col)};
    const tg_walk_t by_columns = {cfg->out_h, down, right - (cfg->out_h * down), cfg->y_row,
                                  cfg->y_col - (cfg->out_h * cfg->y_row)};
    *walk = (cfg->swap != 0U) ? by_columns : by_rows;
    start->inner = 0;
    start->outer = 0;
    start->x = -((l->pad_top * row) + (l->pad_left * cfg->in_c));
    start->y = cfg->y_start;
    return t;
}

/** The next pixels of `left`, from `at` on: where they are and where their windows are. */
static TG_INLINE void tg_take(const tg_layer_t *l, const tg_walk_t *walk, tg_pixel_t *at, int32_t *left,
                              tg_pixel_t pixel[4], tg_tile_t *t)
{
    const tg_tiles_s8_cfg_t *const cfg = l->cfg;
    const int32_t size = cfg->pixels;
    int32_t back = (*left < size) ? (size - *left) : 0; /* the last tile overlaps the one before */
    if (cfg->rows != 0U) {
        back = ((at->inner + 4) > walk->count) ? (at->inner + 4 - walk->count) : 0; /* and the last of a column */
    }
    if ((back > 0) && ((cfg->out_h * cfg->out_w) >= size)) {
        for (; back > 0; --back) {
            if (at->inner == 0) {
                at->inner = walk->count;
                --at->outer;
                at->x -= walk->x_turn;
                at->y -= walk->y_turn;
            }
            --at->inner;
            at->x -= walk->x;
            at->y -= walk->y;
            ++*left;
        }
    }
    tg_four(walk, at, (*left < size) ? *left : size, (*left > size) ? 1 : 0, pixel);
    *left -= size;
    if (cfg->rows != 0U) {
        for (int32_t p = 0; p < 4; ++p) {
            t->x[p] = &l->x[pixel[0].x + (p * l->in_w * cfg->in_c)];
        }
    } else {
        for (int32_t p = 0; p < 4; ++p) {
            t->x[p] = &l->x[pixel[p].x];
        }
        if (l->inside == 0) {
            tg_locate(l, pixel, t);
        }
    }
}

/** A tile, or a group of tiles: all channels of a group of channels. */
static TG_INLINE void tg_run(const tg_tiles_s8_cfg_t *cfg, tg_tile_t *t, const int32_t *w, int32_t channels, int8_t *y)
{
    const int32_t words = cfg->pairs + 4; /* of the stream, for two channels */
    const int32_t last = (channels / 2) * words;
    if (channels > 1) {
        t->w_end = &w[last];
        cfg->tile(t, w, y);
    }
    if (cfg->apart != 0U) { /* the last two channels again, or the only one twice */
        const int32_t c = (channels > 1) ? (channels - 2) : 0;
        t->w_end = &w[last + words];
        cfg->tile(t, &w[last], &y[c * cfg->y_channel]);
    }
}

#ifdef __cplusplus
}
#endif

#endif /* TG_PIXELS_DSP_H_INCLUDED */
