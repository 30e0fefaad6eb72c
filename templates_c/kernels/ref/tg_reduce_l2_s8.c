#include "tg_reduce_l2_s8.h"

#include "tg_length.h"

TG_SHARED void tg_reduce_l2_s8(const tg_reduce_l2_s8_cfg_t *cfg, const int8_t *x, int8_t *y)
{
    const tg_reduce_l2_s8_cfg_t k = *cfg; /* a copy: y may alias anything as far as the compiler knows */
    uint32_t at = 0U;
    for (uint32_t o = 0U; o < k.outer; ++o) {
        for (uint32_t i = 0U; i < k.inner; ++i) {
            uint64_t v = 0U;
            for (uint32_t j = 0U; j < k.n; ++j) {
                const int32_t d = (int32_t)x[(j * k.inner) + i] - k.in_zp;
                v += (uint32_t)(d * d);
            }
            const int32_t q = k.out_zp + tg_length(v, k.m, k.shift);
            y[at] = (int8_t)tg_clamp(q, -128, 127);
            ++at;
        }
        x += k.n * k.inner;
    }
}
