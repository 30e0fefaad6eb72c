#include "tg_min_bc_s8.h"

#include "tg_broadcast.h"

static TG_INLINE int8_t tg_min_pair(const void *cfg, int32_t a, int32_t b)
{
    (void)cfg;
    return (int8_t)((a < b) ? a : b);
}

TG_SHARED void tg_min_bc_s8(const tg_min_bc_s8_cfg_t *cfg, const int8_t *a, const int8_t *b, int8_t *y)
{
    const tg_min_bc_s8_cfg_t k = *cfg; /* a copy: y may alias anything as far as the compiler knows */
    tg_broadcast(k.dims, k.a_stride, k.b_stride, a, b, y, tg_min_pair, &k);
}
