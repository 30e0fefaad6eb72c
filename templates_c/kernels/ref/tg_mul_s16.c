#include "tg_mul_s16.h"

#include "tg_numerics.h"

TG_SHARED void tg_mul_s16(const tg_mul_s16_cfg_t *cfg, const int16_t *a, const int16_t *b, int16_t *y)
{
    const tg_mul_s16_cfg_t k = *cfg; /* a copy: y may alias anything as far as the compiler knows */
    for (uint32_t i = 0U; i < k.n; ++i) {
        y[i] = (int16_t)tg_clamp(tg_requant(a[i] * b[i], k.m, k.shift), k.lo, k.hi);
    }
}
