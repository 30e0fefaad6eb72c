#include "tg_reduce_sum_s16.h"

#include "tg_numerics.h"

TG_SHARED void tg_reduce_sum_s16(const tg_reduce_sum_s16_cfg_t *cfg, const int16_t *x, int16_t *y)
{
    const tg_reduce_sum_s16_cfg_t k = *cfg; /* a copy: y may alias anything as far as the compiler knows */
    for (uint32_t o = 0U; o < k.outer; ++o) {
        uint32_t i = 0U;
        while (i < k.inner) {
            /* four neighbouring columns for one walk over n */
            const uint32_t count = ((k.inner - i) >= 4U) ? 4U : 1U;
            const int16_t *p = &x[i];
            int32_t acc[4] = {0, 0, 0, 0};
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
                y[i + j] = (int16_t)tg_clamp(tg_requant(acc[j], k.m, k.shift), -32768, 32767);
            }
            i += count;
        }
        x += k.n * k.inner;
        y += k.inner;
    }
}
