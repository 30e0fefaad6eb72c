#include "tg_div_s8.h"

#include "tg_numerics.h"
#include "tg_quotient.h"

TG_SHARED void tg_div_s8(const tg_div_s8_cfg_t *cfg, const int8_t *a, const int8_t *b, int8_t *y)
{
    const tg_div_s8_cfg_t k = *cfg; /* a copy: y may alias anything as far as the compiler knows */
    for (uint32_t i = 0U; i < k.n; ++i) {
        y[i] = (int8_t)tg_clamp(k.out_zp + tg_quotient_s8(a[i] - k.a_zp, b[i] - k.b_zp, k.m, k.shift), -128, 127);
    }
}
