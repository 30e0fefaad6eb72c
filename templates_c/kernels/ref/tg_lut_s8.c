#include "tg_lut_s8.h"

TG_SHARED void tg_lut_s8(const tg_lut_s8_cfg_t *cfg, const int8_t *x, const int8_t *table, int8_t *y)
{
    const int8_t *const zero = &table[128];
    const uint32_t n = cfg->n;
    for (uint32_t i = 0U; i < n; ++i) {
        y[i] = zero[x[i]];
    }
}
