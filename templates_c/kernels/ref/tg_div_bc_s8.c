#include "tg_div_bc_s8.h"

#include "tg_broadcast.h"
#include "tg_numerics.h"
#include "tg_quotient.h"

static TG_INLINE int8_t tg_div_pair(const void *cfg, int32_t a, int32_t b)
{
    const tg_div_bc_s8_cfg_t *const k = (const tg_div_bc_s8_cfg_t *)cfg;
    return (int8_t)tg_clamp(k->out_zp + tg_quotient_s8(a - k->a_zp, b - k->b_zp, k->m, k->shift), -128, 127);
}

TG_SHARED void tg_div_bc_s8(const tg_div_bc_s8_cfg_t *cfg, const int8_t *a, const int8_t *b, int8_t *y)
{
    const tg_div_bc_s8_cfg_t k = *cfg; /* a copy: y may alias anything as far as the compiler knows */
    tg_broadcast(k.dims, k.a_stride, k.b_stride, a, b, y, tg_div_pair, &k);
}
