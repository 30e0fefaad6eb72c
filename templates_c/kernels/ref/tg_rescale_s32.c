#include "tg_rescale_s32.h"

#include "tg_numerics.h"

TG_SHARED void tg_rescale_s32(const tg_rescale_s32_cfg_t *cfg, const void *x, void *y)
{
    const tg_rescale_s32_cfg_t k = *cfg; /* a copy: y may alias anything as far as the compiler knows */
    for (uint32_t i = 0U; i < k.n; ++i) {
        int32_t v;
        if (k.x_bits == 8U) {
            v = ((const int8_t *)x)[i];
        } else if (k.x_bits == 16U) {
            v = ((const int16_t *)x)[i];
        } else {
            v = ((const int32_t *)x)[i];
        }
        v = tg_clamp(k.out_zp + tg_requant(v - k.in_zp, k.m, k.shift), k.lo, k.hi);
        if (k.y_bits == 8U) {
            ((int8_t *)y)[i] = (int8_t)v;
        } else if (k.y_bits == 16U) {
            ((int16_t *)y)[i] = (int16_t)v;
        } else {
            ((int32_t *)y)[i] = v;
        }
    }
}
