#include "tg_widen_s16.h"

#include "tg_numerics.h"

TG_SHARED void tg_widen_s16(const tg_widen_s16_cfg_t *cfg, const int8_t *x, int16_t *y)
{
    const uint32_t n = cfg->n;
    const uint32_t shift = cfg->shift;
    const int32_t m = cfg->m;
    const int32_t start = (int32_t)((1UL << shift) >> 1) - (cfg->in_zp * m);
    for (uint32_t i = 0U; i < n; ++i) {
        y[i] = (int16_t)tg_clamp((start + (x[i] * m)) >> shift, -32768, 32767);
    }
}
