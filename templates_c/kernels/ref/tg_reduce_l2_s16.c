#include "tg_reduce_l2_s16.h"

#include "tg_length.h"

TG_SHARED void tg_reduce_l2_s16(const tg_reduce_l2_s16_cfg_t *cfg, const int16_t *x, void *y)
{
    const tg_reduce_l2_s16_cfg_t k = *cfg; /* a copy: y may alias anything as far as the compiler knows */
    uint32_t at = 0U;
    for (uint32_t o = 0U; o < k.outer; ++o) {
        for (uint32_t i = 0U; i < k.inner; ++i) {
            uint64_t v = 0U;
            for (uint32_t j = 0U; j < k.n; ++j) {
                const int32_t d = x[(j * k.inner) + i];
                v += (uint32_t)(d * d);
            }
            const int32_t q = k.out_zp + tg_length(v, k.m, k.shift);
            if (k.wide != 0U) {
                ((int16_t *)y)[at] = (int16_t)tg_clamp(q, -32768, 32767);
            } else {
                ((int8_t *)y)[at] = (int8_t)tg_clamp(q, -128, 127);
            }
            ++at;
        }
        x += k.n * k.inner;
    }
}
