#include "tg_compare_bc_s8.h"

#include "tg_broadcast.h"

static TG_INLINE int8_t tg_compare_pair(const void *cfg, int32_t a, int32_t b)
{
    const tg_compare_bc_s8_cfg_t *const k = (const tg_compare_bc_s8_cfg_t *)cfg;
    const int32_t holds = (k->equal != 0) ? (a == b) : (a < b);
    return (int8_t)((holds != 0) ? k->yes : k->no);
}

TG_SHARED void tg_compare_bc_s8(const tg_compare_bc_s8_cfg_t *cfg, const int8_t *a, const int8_t *b, int8_t *y)
{
    const tg_compare_bc_s8_cfg_t k = *cfg; /* a copy: y may alias anything as far as the compiler knows */
    tg_broadcast(k.dims, k.a_stride, k.b_stride, a, b, y, tg_compare_pair, &k);
}
