#include "tg_rescale_s16.h"

#include "tg_numerics.h"

TG_SHARED void tg_rescale_s16(const tg_rescale_s16_cfg_t *cfg, const int16_t *x, int16_t *y)
{
    const tg_rescale_s16_cfg_t k = *cfg; /* a copy: y may alias anything as far as the compiler knows */
    for (uint32_t i = 0U; i < k.n; ++i) {
        y[i] = (int16_t)tg_clamp(tg_requant(x[i], k.m, k.shift), -32768, 32767);
    }
}
