#include "tg_slides_s8_dsp.h"

#include "tg_epilogue_dsp.h"
#include "tg_image_dsp.h"
#include "tg_window.h"

/** A tile and what the fill of one at the border must know: which part of its window lies in the image. */
typedef struct {
    tg_tile_t tile; /* first: the kernel hands its address to the fill */
    tg_tile_t part; /**< what the fill takes from the image, or from the copy of a corner */
    const tg_slides_s8_cfg_t *cfg;
    tg_taps_t rows;
    tg_taps_t cols;
    int32_t patch; /**< 1: columns outside were filled with what lies there */
} tg_border_t;

/** Columns first <= c < end of a window row are outside: the zero point. */
static TG_INLINE void tg_blank(int16_t *row, int32_t first, int32_t end, int32_t cols, int32_t quads, uint32_t zero)
{
    for (int32_t c = first; c < end; ++c) {
        int16_t *to = &row[4 * c];
        for (int32_t q = quads; q > 0; --q) {
            tg_store32(to, zero);
            tg_store32(&to[2], zero);
            to += 4 * cols;
        }
    }
}

/** Fills the rows in the image, columns outside with what lies there, and then puts the zero point where it belongs. */
static void tg_fill_border(const tg_tile_t *t, int16_t *window)
{
    const tg_border_t *const b = (const tg_border_t *)(const void *)t;
    const tg_slides_s8_cfg_t *const cfg = b->cfg;
    const int32_t halves = cfg->row_bytes / 2U;
    const int32_t cols = cfg->cols;
    const int32_t quads = t->quads;
    const uint32_t zero = (uint32_t)(uint16_t)cfg->in_zp * 0x00010001U;
    if (b->part.runs > 0) {
        cfg->fill(&b->part, &window[b->rows.first * halves]);
    }
    for (int32_t r = 0; r < cfg->k_h; ++r) {
        int16_t *const row = &window[r * halves];
        if ((r < b->rows.first) || (r >= b->rows.end)) {
            tg_blank(row, 0, 1, 1, cols * quads, zero);
        } else if (b->patch != 0) {
            tg_blank(row, 0, b->cols.first, cols, quads, zero);
            tg_blank(row, b->cols.end, cols, cols, quads, zero);
        } else {
            /* the copy of the corner has the zero point */
        }
    }
}

/** What the fill may read of a tile at the border: its rows in the image; in a corner, where bytes before the image or
 *  behind it would be read, a copy of them in `edge` with the zero point around it. */
static TG_NOINLINE void tg_border(tg_border_t *b, int32_t iy, int32_t ix, int8_t *edge)
{
    const tg_slides_s8_cfg_t *const cfg = b->cfg;
    const int32_t in_c = cfg->in_c;
    const int32_t first = iy + (b->rows.first * cfg->dil_h);
    const int32_t end = iy + ((b->rows.end - 1) * cfg->dil_h);
    b->tile.fill = tg_fill_border;
    b->cols = tg_taps_inside(ix, cfg->in_w, cfg->cols, 1);
    b->part.runs = b->rows.end - b->rows.first;
    b->part.x[0] = &b->tile.x[0][b->rows.first * b->tile.step];
    b->part.step = b->tile.step;
    b->patch = 1;
    if (((first == 0) && (ix < 0)) || ((end == (cfg->in_h - 1)) && ((ix + cfg->cols) > cfg->in_w))) {
        const int32_t row = cfg->cols * in_c;
        const int32_t n = (b->cols.end - b->cols.first) * in_c;
        const int32_t before = b->cols.first * in_c;
        tg_copy_rows(edge, row, &b->part.x[0][before], b->tile.step, b->part.runs, before, n, row - before - n,
                     cfg->in_zp);
        b->part.x[0] = edge;
        b->part.step = row;
        b->patch = 0;
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
    tg_border_t b = {{0}, {0}, cfg, {0, 0}, {0, 0}, 0};

    b.tile.offset = o.offset;
    b.tile.shift = (int32_t)o.shift;
    b.tile.y_pixel[0] = cfg->y_col;
    b.tile.y_pixel[1] = 2 * cfg->y_col;
    b.tile.y_pixel[2] = 3 * cfg->y_col;
    b.tile.y_channel = (channels > 1) ? cfg->y_channel : 0; /* a single channel is its own other one */
    b.tile.pair_bytes = 4 * cfg->pairs;
    b.tile.quads = (cfg->in_c + 3) / 4;
    b.tile.tail = cfg->in_c;
    b.tile.runs = cfg->k_h;
    b.tile.step = cfg->dil_h * row;
    b.part.quads = b.tile.quads;
    b.part.tail = b.tile.tail;

    b.tile.w_end = &w[last];
    for (int32_t oy = 0; oy < cfg->out_h; ++oy) {
        const int32_t iy = (oy * cfg->stride_h) - cfg->pad_top;
        int8_t *const y_row = &y[cfg->y_start + (oy * cfg->y_row)];
        int32_t ix = -(int32_t)cfg->pad_left;
        b.rows = tg_taps_inside(iy, cfg->in_h, cfg->k_h, cfg->dil_h);
        const int32_t whole = ((b.rows.end - b.rows.first) == cfg->k_h) ? 1 : 0;
        for (int32_t at = 0; at < cfg->out_w; at += 4) {
            const int32_t back = ((at + 4) > cfg->out_w) ? (at + 4 - cfg->out_w) : 0; /* the last tile overlaps */
            int8_t *const to = &y_row[(at - back) * cfg->y_col];
            ix -= back * cfg->stride_w;
            b.tile.x[0] = &x[(iy * row) + (ix * cfg->in_c)];
            b.tile.fill = cfg->fill;
            if ((ix < 0) || ((ix + cfg->cols) > cfg->in_w) || (whole == 0)) {
                tg_border(&b, iy, ix, (int8_t *)scratch);
            }
            if (channels > 1) {
                cfg->tile(&b.tile, w, to);
            }
            if (cfg->apart != 0U) { /* the last two channels again, or the only one twice */
                const int32_t c = (channels > 1) ? (channels - 2) : 0;
                b.tile.w_end = &w[last + words];
                cfg->tile(&b.tile, &w[last], &to[c * cfg->y_channel]);
                b.tile.w_end = &w[last];
            }
            ix += 4 * cfg->stride_w;
        }
    }
    tg_clamp_dsp(&o, y, (o.narrow != 0) ? (cfg->out_h * cfg->out_w * channels) : 0);
}
