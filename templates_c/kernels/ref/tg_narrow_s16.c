#include "tg_narrow_s16.h"

#include "tg_numerics.h"

TG_SHARED void tg_narrow_s16(const tg_narrow_s16_cfg_t *cfg, const int16_t *x, int8_t *y)
{
    const uint32_t n = cfg->n;
    const uint32_t shift = cfg->shift;
    const int32_t m = cfg->m;
    const int32_t zp = cfg->out_zp;
    const int32_t rounding = (int32_t)((1UL << shift) >> 1);
    for (uint32_t i = 0U; i < n; ++i) {
        y[i] = (int8_t)tg_clamp(zp + (((x[i] * m) + rounding) >> shift), -128, 127);
    }
}
