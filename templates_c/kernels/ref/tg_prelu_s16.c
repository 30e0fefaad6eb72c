#include "tg_prelu_s16.h"

#include "tg_numerics.h"

TG_SHARED void tg_prelu_s16(const tg_prelu_s16_cfg_t *cfg, const int16_t *x, const int32_t *mn, int16_t *y)
{
    const tg_prelu_s16_cfg_t k = *cfg; /* a copy: y may alias anything as far as the compiler knows */
    for (uint32_t r = 0U; r < k.rows; ++r) {
        for (uint32_t c = 0U; c < k.channels; ++c) {
            const int32_t d = x[c];
            y[c] = (int16_t)tg_clamp(tg_requant(d, (d < 0) ? mn[c] : k.mp, k.shift), -32768, 32767);
        }
        x += k.channels;
        y += k.channels;
    }
}
