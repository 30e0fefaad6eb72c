#include "tg_rowchannel_s8_dsp.h"

#include "tg_channel_dsp.h"

TG_SHARED void tg_rowchannel_s8_dsp(const tg_rowchannel_s8_cfg_t *cfg, const int8_t *x, const int32_t *w,
                                    int16_t *scratch, int8_t *y)
{
    const int32_t pixels = cfg->rows.in_h * cfg->rows.in_w;
    const int32_t halves = ((pixels + 3) / 4) * 2;
    for (int32_t c = 0; c < cfg->in_c; ++c) {
        tg_copy_channel((int8_t *)scratch, &x[c], cfg->in_c, pixels);
        tg_rows_s8_dsp(&cfg->rows, (const int8_t *)scratch, w, &scratch[halves], y);
        w += cfg->words;
        y += cfg->rows.out_c;
    }
}
