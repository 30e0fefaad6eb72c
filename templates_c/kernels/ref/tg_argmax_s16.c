#include "tg_argmax_s16.h"

TG_SHARED void tg_argmax_s16(const tg_argmax_s16_cfg_t *cfg, const int16_t *x, int8_t *y)
{
    const uint32_t n = cfg->n;
    const int32_t tie = (cfg->last != 0U) ? 1 : 0; /* an equal value wins too */
    for (uint32_t r = 0U; r < cfg->rows; ++r) {
        int32_t best = x[0];
        uint32_t index = 0U;
        for (uint32_t i = 1U; i < n; ++i) {
            if ((x[i] + tie) > best) {
                best = x[i];
                index = i;
            }
        }
        y[r] = (int8_t)((int32_t)index - 128);
        x += n;
    }
}
