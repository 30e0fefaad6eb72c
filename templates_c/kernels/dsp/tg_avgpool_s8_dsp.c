#include "tg_avgpool_s8_dsp.h"

#include "tg_sums_dsp.h"
#include "tg_window.h"

/** The part of a window inside the image: `rows` runs of `taps` pixels. */
typedef struct {
    int32_t rows;
    int32_t row_step;
    int32_t taps;
    int32_t tap_step;
    int32_t columns; /**< channels, eight at the most */
    int32_t room;    /**< bytes from its first tap to the end of the image; 0: eight of each tap are inside */
} tg_part_t;

/** Eight channels of one window, whose sums begin at `start`. `even`: the divisor where halves go to even, else 0. */
static TG_NOINLINE void tg_avgpool_eight(const tg_mean_t *k, const tg_part_t *part, const int8_t *x, int32_t start,
                                         int32_t m, int32_t even, int8_t *y)
{
    int32_t acc[8] = {start, start, start, start, start, start, start, start};
    tg_sums_t s = {{0U, 0U, 0U, 0U}};
    int32_t room = TG_SUMS_ROWS;
    int32_t inside = part->room;
    for (int32_t j = 0; j < part->rows; ++j) {
        const int8_t *p = x;
        int32_t left = part->taps;
        while (left > 0) {
            const int32_t n = (left < room) ? left : room;
            if (part->room == 0) {
                tg_sum_rows(&s, p, part->tap_step, n);
            } else {
                tg_sum_few(&s, p, part->tap_step, n, part->columns, inside - (part->tap_step * (part->taps - left)));
            }
            p += n * part->tap_step;
            left -= n;
            room -= n;
            if (room == 0) {
                tg_sums_flush(&s, acc);
                room = TG_SUMS_ROWS;
            }
        }
        x += part->row_step;
        inside -= part->row_step;
    }
    tg_sums_flush(&s, acc);
    if (even != 0) {
        tg_means_even(k, acc, m, even, y, part->columns);
    } else {
        tg_means(k, acc, m, y, part->columns);
    }
}

TG_SHARED void tg_avgpool_s8_dsp(const tg_avgpool_s8_cfg_t *cfg, const int8_t *x, const int32_t *m, int8_t *y)
{
    const tg_mean_t k = tg_mean(cfg->shift, cfg->out_zp);
    const int32_t channels = cfg->channels;
    const int32_t columns = (channels < 8) ? channels : 8;
    const int32_t size = cfg->in_h * cfg->in_w * channels;
    tg_part_t part = {0, cfg->dil_h * cfg->in_w * channels, 0, cfg->dil_w * channels, columns, 0};
    for (int32_t oy = 0; oy < cfg->out_h; ++oy) {
        const int32_t iy = (oy * cfg->stride_h) - cfg->pad_top;
        const tg_taps_t ky = tg_taps_inside(iy, cfg->in_h, cfg->k_h, cfg->dil_h);
        for (int32_t ox = 0; ox < cfg->out_w; ++ox) {
            const int32_t ix = (ox * cfg->stride_w) - cfg->pad_left;
            const tg_taps_t kx = tg_taps_inside(ix, cfg->in_w, cfg->k_w, cfg->dil_w);
            const int32_t origin = (((iy * cfg->in_w) + ix) * channels) + (ky.first * part.row_step);
            const int32_t valid = (kx.end - kx.first) * (ky.end - ky.first);
            const int32_t even = ((cfg->even != 0U) && (cfg->m_step != 0U)) ? valid : (int32_t)cfg->even;
            const int32_t multiplier = m[(valid > 0) ? ((valid - 1) * cfg->m_step) : 0];
            part.rows = ky.end - ky.first;
            part.taps = kx.end - kx.first;
            if ((part.taps * part.tap_step) == part.row_step) { /* the rows are one run */
                part.taps = valid;
                part.rows = 1;
            }
            for (int32_t c = 0; c < channels; c += 8) {
                const int32_t at = (c > (channels - columns)) ? (channels - columns) : c; /* the last may overlap */
                const int32_t from = origin + (kx.first * part.tap_step) + at;
                if (columns < 8) {
                    const int32_t last = from + ((part.rows - 1) * part.row_step) + ((part.taps - 1) * part.tap_step);
                    part.room = ((last + 8) > size) ? (size - from) : 0;
                }
                tg_avgpool_eight(&k, &part, &x[from], -(valid * cfg->in_zp), multiplier, even, &y[at]);
            }
            y += channels;
        }
    }
}
