#include "tg_lut_s16.h"

TG_SHARED void tg_lut_s16(const tg_lut_s16_cfg_t *cfg, const int16_t *x, const int16_t *table, int16_t *y)
{
    const uint32_t n = cfg->n;
    for (uint32_t i = 0U; i < n; ++i) {
        const int32_t u = x[i] + 32768;
        const int16_t *const t = &table[u >> 7];
        const int32_t low = t[0];
        y[i] = (int16_t)(low + ((((t[1] - low) * (u & 127)) + 64) >> 7));
    }
}
