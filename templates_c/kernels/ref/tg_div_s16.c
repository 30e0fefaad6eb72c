#include "tg_div_s16.h"

#include "tg_numerics.h"
#include "tg_quotient.h"

TG_SHARED void tg_div_s16(const tg_div_s16_cfg_t *cfg, const int16_t *a, const int16_t *b, int16_t *y)
{
    const tg_div_s16_cfg_t k = *cfg; /* a copy: y may alias anything as far as the compiler knows */
    for (uint32_t i = 0U; i < k.n; ++i) {
        y[i] = (int16_t)tg_clamp(tg_quotient_s16(a[i], b[i], k.m, k.shift), -32768, 32767);
    }
}
