#include "tg_reduce_sum_s8.h"

#include "tg_numerics.h"

TG_SHARED void tg_reduce_sum_s8(const tg_reduce_sum_s8_cfg_t *cfg, const int8_t *x, int8_t *y)
{
    const tg_reduce_sum_s8_cfg_t k = *cfg; /* a copy: y may alias anything as far as the compiler knows */
    const int32_t start = -((int32_t)k.n * k.in_zp);
    for (uint32_t o = 0U; o < k.outer; ++o) {
        uint32_t i = 0U;
        while (i < k.inner) {
            /* four neighbouring columns for one walk over n */
            const uint32_t count = ((k.inner - i) >= 4U) ? 4U : 1U;
            const int8_t *p = &x[i];
            int32_t acc[4] = {start, start, start, start};
            if (count == 4U) {
                for (uint32_t j = 0U; j < k.n; ++j) {
                    acc[0] += p[0];
                    acc[1] += p[1];
                    acc[2] += p[2];
                    acc[3] += p[3];
                    p += k.inner;
                }
            } else {
                for (uint32_t j = 0U; j < k.n; ++j) {
                    acc[0] += *p;
                    p += k.inner;
                }
            }
            for (uint32_t j = 0U; j < count; ++j) {
                int32_t q = tg_requant(acc[j], k.m, k.shift);
                if (k.even != 0U) {
                    q = tg_half_to_even(q, acc[j], (int32_t)k.n);
                }
                y[i + j] = (int8_t)tg_clamp(q + k.out_zp, -128, 127);
            }
            i += count;
        }
        x += k.n * k.inner;
        y += k.inner;
    }
}
