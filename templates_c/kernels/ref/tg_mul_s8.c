#include "tg_mul_s8.h"

#include "tg_numerics.h"

TG_SHARED void tg_mul_s8(const tg_mul_s8_cfg_t *cfg, const int8_t *a, const int8_t *b, int8_t *y)
{
    const tg_mul_s8_cfg_t k = *cfg; /* a copy: y may alias anything as far as the compiler knows */
    for (uint32_t i = 0U; i < k.n; ++i) {
        y[i] = tg_requant_clamp((a[i] - k.a_zp) * (b[i] - k.b_zp), k.m, k.shift, k.out_zp, k.lo, k.hi);
    }
}
