#include "tg_max_s16.h"

TG_SHARED void tg_max_s16(const tg_max_s16_cfg_t *cfg, const int16_t *a, const int16_t *b, int16_t *y)
{
    const uint32_t n = cfg->n;
    for (uint32_t i = 0U; i < n; ++i) {
        y[i] = (a[i] > b[i]) ? a[i] : b[i];
    }
}
