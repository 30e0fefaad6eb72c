#include "tg_matmul_s16.h"

#include "tg_numerics.h"

/** One sum of products. */
static int32_t tg_matmul_s16_sum(const tg_matmul_s16_cfg_t *k, const int16_t *a, const int16_t *b)
{
    int64_t acc = 0; /* each product at most 2^30 */
    for (uint32_t i = 0U; i < k->inner; ++i) {
        acc += *a * *b;
        a += k->a_step;
        b += k->b_step;
    }
    return (int32_t)(acc >> k->down);
}

TG_SHARED void tg_matmul_s16(const tg_matmul_s16_cfg_t *cfg, const int16_t *a, const int16_t *b, int16_t *y)
{
    const tg_matmul_s16_cfg_t k = *cfg; /* a copy: y may alias anything as far as the compiler knows */
    for (uint32_t i0 = 0U; i0 < k.dims[0]; ++i0) {
        for (uint32_t i1 = 0U; i1 < k.dims[1]; ++i1) {
            for (uint32_t row = 0U; row < k.dims[2]; ++row) {
                const int32_t at[3] = {(int32_t)i0, (int32_t)i1, (int32_t)row};
                const int16_t *p = a;
                const int16_t *q = b;
                int16_t *out = y;
                for (uint32_t i = 0U; i < 3U; ++i) {
                    p += at[i] * k.a_stride[i];
                    q += at[i] * k.b_stride[i];
                    out += at[i] * k.y_stride[i];
                }
                for (uint32_t column = 0U; column < k.dims[3]; ++column) {
                    const int32_t acc = tg_matmul_s16_sum(&k, p, q);
                    *out = (int16_t)tg_clamp(tg_requant(acc, k.m, k.shift), k.lo, k.hi);
                    q += k.b_stride[3];
                    out += k.y_stride[3];
                }
            }
        }
    }
}
