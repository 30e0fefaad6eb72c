#include "tg_prelu_s8.h"

#include "tg_numerics.h"

TG_SHARED void tg_prelu_s8(const tg_prelu_s8_cfg_t *cfg, const int8_t *x, const int32_t *mn, int8_t *y)
{
    const tg_prelu_s8_cfg_t k = *cfg; /* a copy: y may alias anything as far as the compiler knows */
    for (uint32_t r = 0U; r < k.rows; ++r) {
        for (uint32_t c = 0U; c < k.channels; ++c) {
            const int32_t d = x[c] - k.in_zp;
            y[c] = tg_requant_clamp(d, (d < 0) ? mn[c] : k.mp, k.shift, k.out_zp, -128, 127);
        }
        x += k.channels;
        y += k.channels;
    }
}
