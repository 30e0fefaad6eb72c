#include "tg_tiles_pal_s8_dsp.h"

#include "tg_image_dsp.h"
#include "tg_tiles_s8_dsp.h"

/** Bytes of the window for one pair of taps: the last one holds none where their number is odd. */
#define TG_PAL_TAIL 16

TG_SHARED void tg_tiles_pal_s8_dsp(const tg_tiles_s8_cfg_t *cfg, const int8_t *x, const int32_t *w,
                                   const int32_t *table, int16_t *scratch, int8_t *y)
{
    tg_tiles_s8_cfg_t with_table = *cfg;
    with_table.table = table;
    /* an index stands for a weight that may not be 0; what it meets is, then */
    tg_fill_bytes((int8_t *)&scratch[(cfg->window - TG_PAL_TAIL) / 2], 0, TG_PAL_TAIL);
    tg_tiles_s8_dsp(&with_table, x, w, scratch, y);
}
