#include "tg_conv3x3_wino_dsp.h"

#include "tg_epilogue_dsp.h"
#include "tg_wino_tile_dsp.h"

/** Words that V of 64 channels take. With fewer channels the sums may have the rest. */
#define WINO_WORDS (6 * 32 * 6)

/** n bytes, a multiple of 8. */
static TG_INLINE int8_t *tg_wino_copy(int8_t *to, const int8_t *from, int32_t n)
{
    for (; n >= 16; n -= 16) {
        const uint32_t a = tg_load32(from);
        const uint32_t b = tg_load32(&from[4]);
        const uint32_t c = tg_load32(&from[8]);
        const uint32_t d = tg_load32(&from[12]);
        tg_store32(to, a);
        tg_store32(&to[4], b);
        tg_store32(&to[8], c);
        tg_store32(&to[12], d);
        from += 16;
        to += 16;
    }
    if (n > 0) {
        const uint32_t a = tg_load32(from);
        const uint32_t b = tg_load32(&from[4]);
        tg_store32(to, a);
        tg_store32(&to[4], b);
        to += 8;
    }
    return to;
}

/** n times the same byte, n a multiple of 8. */
static TG_INLINE int8_t *tg_wino_fill(int8_t *to, uint32_t four, int32_t n)
{
    for (const int8_t *const end = &to[n]; to != end; to += 8) {
        tg_store32(to, four);
        tg_store32(&to[4], four);
    }
    return to;
}

/** Where the rows of the tile at (iy, ix) are: in the image, or else put together in `edge`. */
static TG_NOINLINE void tg_wino_rows(const tg_conv3x3_wino_cfg_t *cfg, const int8_t *x, int32_t iy, int32_t ix,
                                     int8_t *edge, const int8_t *row[6])
{
    const int32_t in_c = cfg->in_c;
    const int32_t step = cfg->in_w * in_c;
    const uint32_t in_h = cfg->in_h;
    const uint32_t zp = ((uint32_t)cfg->in_zp & 0xFFU) * 0x01010101U;
    const int32_t left = (ix < 0) ? in_c : 0;
    const int32_t right = ((ix + 6) > cfg->in_w) ? in_c : 0;
    x += ((iy * cfg->in_w) + ix) * in_c;
    for (int32_t r = 0; r < 6; ++r) {
        row[r] = x;
        if ((uint32_t)(iy + r) >= in_h) {
            row[r] = edge;
            edge = tg_wino_fill(edge, zp, 6 * in_c);
        } else if ((left + right) != 0) {
            row[r] = edge;
            edge = tg_wino_fill(edge, zp, left);
            edge = tg_wino_copy(edge, &x[left], (6 * in_c) - left - right);
            edge = tg_wino_fill(edge, zp, right);
        }
        x += step;
    }
}

TG_SHARED void tg_conv3x3_wino_dsp(const tg_conv3x3_wino_cfg_t *cfg, const int8_t *x, const int32_t *w,
                                   const int32_t *m, int16_t *scratch, int8_t *y)
{
    const tg_output_dsp_t o = tg_output_dsp(40U, cfg->out_zp, cfg->lo, cfg->hi);
    const int32_t out_h = cfg->out_h;
    const int32_t out_w = cfg->out_w;
    const int32_t words = 18 * cfg->in_c;
    const int32_t more = 24 * cfg->out_c;
    const int32_t fit = ((words + more) <= WINO_WORDS) ? 1 : 0;
    tg_wino_tile_t t = {{0},      w, m, (uint32_t *)(void *)scratch, y, cfg->in_c, cfg->out_c, out_w * cfg->out_c,
                        o.offset, 0};
    t.frame = 768 + (4 * words);
    if (fit != 0) {
        t.sums = NULL;
        t.frame += 4 * more;
    }
    for (int32_t oy = 0; oy < out_h; oy += 4) {
        const int32_t top = (oy < (out_h - 4)) ? oy : (out_h - 4); /* the last tile overlaps the one before */
        for (int32_t ox = 0; ox < out_w; ox += 4) {
            const int32_t left = (ox < (out_w - 4)) ? ox : (out_w - 4);
            /* sums in scratch are not yet in use: the edges take their room */
            tg_wino_rows(cfg, x, top - cfg->pad_top, left - cfg->pad_left, (int8_t *)scratch, t.row);
            t.y = &y[((top * out_w) + left) * cfg->out_c];
            tg_wino_tile_dsp(&t);
        }
    }
    tg_clamp_dsp(&o, y, out_h * out_w * cfg->out_c);
}
