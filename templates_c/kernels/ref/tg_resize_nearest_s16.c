#include "tg_resize_nearest_s16.h"

#include <string.h>

TG_SHARED void tg_resize_nearest_s16(const tg_resize_nearest_s16_cfg_t *cfg, const int16_t *x, const uint16_t *iy,
                                     const uint16_t *ix, int16_t *y)
{
    const uint32_t channels = cfg->channels;
    for (uint32_t r = 0U; r < cfg->out_h; ++r) {
        const int16_t *const row = &x[iy[r] * cfg->in_w * channels];
        for (uint32_t c = 0U; c < cfg->out_w; ++c) {
            (void)memcpy(y, &row[ix[c] * channels], channels * sizeof *y);
            y += channels;
        }
    }
}
