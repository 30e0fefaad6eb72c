#include "tg_add_s16.h"

#include "tg_numerics.h"

TG_SHARED void tg_add_s16(const tg_add_s16_cfg_t *cfg, const int16_t *a, const int16_t *b, int16_t *y)
{
    const int32_t ma = cfg->ma;
    const int32_t mb = cfg->mb;
    const int32_t c = cfg->c;
    const int32_t lo = cfg->lo;
    const int32_t hi = cfg->hi;
    const uint32_t shift = cfg->shift;
    const uint32_t n = cfg->n;
    for (uint32_t i = 0U; i < n; ++i) {
        y[i] = (int16_t)tg_clamp((c + (a[i] * ma) + (b[i] * mb)) >> shift, lo, hi);
    }
}
