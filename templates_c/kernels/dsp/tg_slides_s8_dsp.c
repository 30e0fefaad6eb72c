#include "tg_slides_s8_dsp.h"

#include <string.h>

#include "tg_epilogue_dsp.h"
#include "tg_window.h"

/** A tile and what the fill of one at the border must know: which part of its window lies in the image. */
typedef struct {
    tg_tile_t tile; /* first: the kernel hands its address to the fill */
    const tg_slides_s8_cfg_t *cfg;
    int8_t *edge;
    tg_taps_t rows;
    tg_taps_t cols;
    int32_t corner; /**< 1: the fill would read bytes before the image or behind it */
} tg_border_t;

/** n words of the zero point. */
static TG_INLINE void tg_blank(int16_t *to, int32_t n, uint32_t pair)
{
    for (; n > 0; --n) {
        tg_store32(to, pair);
        to += 2;
    }
}

/** The part of the window that is in the image, copied to `edge` with the zero point around it. */
static TG_NOINLINE void tg_copy_corner(const tg_border_t *b)
{
    const int32_t in_c = b->cfg->in_c;
    const int32_t row = b->cfg->cols * in_c;
    (void)memset(b->edge, b->cfg->in_zp, (size_t)((b->rows.end - b->rows.first) * row));
    for (int32_t r = b->rows.first; r < b->rows.end; ++r) {
        if (b->cols.end > b->cols.first) {
            (void)memcpy(&b->edge[((r - b->rows.first) * row) + (b->cols.first * in_c)],
                         &b->tile.x[0][(r * b->tile.step) + (b->cols.first * in_c)],
                         (size_t)((b->cols.end - b->cols.first) * in_c));
        }
    }
}

/** Fills the rows in the image, columns outside with what lies there, and then puts the zero point where it belongs. */
static void tg_fill_border(const tg_tile_t *t, int16_t *window)
{
    const tg_border_t *const b = (const tg_border_t *)(const void *)t;
    const tg_slides_s8_cfg_t *const cfg = b->cfg;
    const int32_t halves = cfg->row_bytes / 2U;
    const int32_t words = cfg->cols * t->quads * 2;
    const uint32_t zero = (uint32_t)(uint16_t)cfg->in_zp * 0x00010001U;
    tg_tile_t inner = *t;
    inner.runs = b->rows.end - b->rows.first;
    if (b->corner != 0) {
        tg_copy_corner(b);
        inner.x[0] = b->edge;
        inner.step = cfg->cols * cfg->in_c;
    } else {
        inner.x[0] = &t->x[0][b->rows.first * t->step];
    }
    if (inner.runs > 0) {
        cfg->fill(&inner, &window[b->rows.first * halves]);
    }
    for (int32_t r = 0; r < cfg->k_h; ++r) {
        int16_t *const row = &window[r * halves];
        if ((r < b->rows.first) || (r >= b->rows.end)) {
            tg_blank(row, words, zero);
        } else if (b->corner == 0) {
            for (int32_t q = 0; q < t->quads; ++q) {
                int16_t *const quad = &row[4 * cfg->cols * q];
                tg_blank(quad, 2 * b->cols.first, zero);
                tg_blank(&quad[4 * b->cols.end], 2 * (cfg->cols - b->cols.end), zero);
            }
        } else {
            /* the copy had the zero point */
        }
    }
}

TG_SHARED void tg_slides_s8_dsp(const tg_slides_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, int16_t *scratch,
                                int8_t *y)
{
    const tg_output_dsp_t o = tg_output_dsp(cfg->shift, cfg->out_zp, cfg->lo, cfg->hi);
    const int32_t channels = cfg->out_c;
    const int32_t words = cfg->pairs + 4; /* of the stream, for two channels */
    const int32_t last = (channels / 2) * words;
    const int32_t row = cfg->in_w * cfg->in_c;
    tg_border_t b = {{0}, cfg, (int8_t *)scratch, {0, 0}, {0, 0}, 0};

    b.tile.offset = o.offset;
    b.tile.shift = (int32_t)o.shift;
    b.tile.y_pixel[0] = cfg->y_col;
    b.tile.y_pixel[1] = 2 * cfg->y_col;
    b.tile.y_pixel[2] = 3 * cfg->y_col;
    b.tile.y_channel = (channels > 1) ? cfg->y_channel : 0; /* a single channel is its own other one */
    b.tile.pair_bytes = 4 * cfg->pairs;
    b.tile.quads = cfg->in_c / 4;
    b.tile.tail = cfg->in_c;
    b.tile.runs = cfg->k_h;
    b.tile.step = cfg->dil_h * row;

    for (int32_t oy = 0; oy < cfg->out_h; ++oy) {
        const int32_t iy = (oy * cfg->stride_h) - cfg->pad_top;
        b.rows = tg_taps_inside(iy, cfg->in_h, cfg->k_h, cfg->dil_h);
        for (int32_t at = 0; at < cfg->out_w; at += 4) {
            const int32_t ox = ((at + 4) > cfg->out_w) ? (cfg->out_w - 4) : at; /* the last tile overlaps */
            const int32_t ix = (ox * cfg->stride_w) - cfg->pad_left;
            int8_t *const to = &y[cfg->y_start + (oy * cfg->y_row) + (ox * cfg->y_col)];
            b.tile.x[0] = &x[(iy * row) + (ix * cfg->in_c)];
            b.tile.fill = cfg->fill;
            if ((ix < 0) || ((ix + cfg->cols) > cfg->in_w) || ((b.rows.end - b.rows.first) < cfg->k_h)) {
                b.tile.fill = tg_fill_border;
                b.cols = tg_taps_inside(ix, cfg->in_w, cfg->cols, 1);
                b.corner = ((((iy + (b.rows.first * cfg->dil_h)) == 0) && (ix < 0)) ||
                            (((iy + ((b.rows.end - 1) * cfg->dil_h)) == (cfg->in_h - 1)) &&
                             ((ix + cfg->cols) > cfg->in_w)))
                               ? 1
                               : 0;
            }
            if (channels > 1) {
                b.tile.w_end = &w[last];
                cfg->tile(&b.tile, w, to);
            }
            if ((channels & 1) != 0) { /* the last two channels again, or the only one twice */
                const int32_t c = (channels > 1) ? (channels - 2) : 0;
                b.tile.w_end = &w[last + words];
                cfg->tile(&b.tile, &w[last], &to[c * cfg->y_channel]);
            }
        }
    }
    tg_clamp_dsp(&o, y, (o.narrow != 0) ? (cfg->out_h * cfg->out_w * channels) : 0);
}
