#include "tg_max_s8.h"

TG_SHARED void tg_max_s8(const tg_max_s8_cfg_t *cfg, const int8_t *a, const int8_t *b, int8_t *y)
{
    const uint32_t n = cfg->n;
    for (uint32_t i = 0U; i < n; ++i) {
        y[i] = (a[i] > b[i]) ? a[i] : b[i];
    }
}
