#include "tg_div_bc_s16.h"

#include "tg_broadcast_s16.h"
#include "tg_numerics.h"
#include "tg_quotient.h"

static TG_INLINE int16_t tg_div_pair(const void *cfg, int32_t a, int32_t b)
{
    const tg_div_bc_s16_cfg_t *const k = (const tg_div_bc_s16_cfg_t *)cfg;
    return (int16_t)tg_clamp(tg_quotient_s16(a, b, k->m, k->shift), -32768, 32767);
}

TG_SHARED void tg_div_bc_s16(const tg_div_bc_s16_cfg_t *cfg, const int16_t *a, const int16_t *b, int16_t *y)
{
    const tg_div_bc_s16_cfg_t k = *cfg; /* a copy: y may alias anything as far as the compiler knows */
    tg_broadcast_s16(k.dims, k.a_stride, k.b_stride, a, b, y, tg_div_pair, &k);
}
