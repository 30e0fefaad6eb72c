#include "tg_max_bc_s16.h"

#include "tg_broadcast_s16.h"

static TG_INLINE int16_t tg_max_pair(const void *cfg, int32_t a, int32_t b)
{
    (void)cfg;
    return (int16_t)((a > b) ? a : b);
}

TG_SHARED void tg_max_bc_s16(const tg_max_bc_s16_cfg_t *cfg, const int16_t *a, const int16_t *b, int16_t *y)
{
    const tg_max_bc_s16_cfg_t k = *cfg; /* a copy: y may alias anything as far as the compiler knows */
    tg_broadcast_s16(k.dims, k.a_stride, k.b_stride, a, b, y, tg_max_pair, &k);
}
