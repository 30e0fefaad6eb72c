#include "tg_dwchannel_s8_dsp.h"

#include "tg_channel_dsp.h"
#include "tg_image_dsp.h"

TG_SHARED void tg_dwchannel_s8_dsp(const tg_dwchannel_s8_cfg_t *cfg, const int8_t *x, const int32_t *w,
                                   int16_t *scratch, int8_t *y)
{
    int8_t *const plane = (int8_t *)scratch;
    if (cfg->x_col != 0) {
        tg_fill_bytes(plane, cfg->in_zp, cfg->size);
    }
    for (int32_t c = cfg->in_c; c > 0; --c) {
        const int8_t *from = x;
        if (cfg->x_col != 0) {
            int8_t *to = &plane[cfg->lead]; /* the padding is there already */
            for (int32_t r = cfg->rows; r > 0; --r) {
                tg_copy_channel(to, from, cfg->x_col, cfg->cols);
                from += cfg->x_row;
                to += cfg->plane.row_stride;
            }
            from = plane;
        }
        cfg->kernel(&cfg->plane, from, w, y);
        x += cfg->x_channel;
        w += cfg->words;
        y += cfg->plane.channels * cfg->plane.out_chan;
    }
}
