#include "tg_fill_s16.h"

TG_SHARED void tg_fill_s16(const tg_fill_s16_cfg_t *cfg, int16_t *y)
{
    const int16_t value = cfg->value;
    const uint32_t n = cfg->n;
    for (uint32_t i = 0U; i < n; ++i) {
        y[i] = value;
    }
}
