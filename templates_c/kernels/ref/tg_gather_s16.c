#include "tg_gather_s16.h"

#include <string.h>

TG_SHARED void tg_gather_s16(const tg_gather_s16_cfg_t *cfg, const int16_t *x, const uint16_t *idx, int16_t *y)
{
    const uint32_t inner = cfg->inner;
    for (uint32_t o = 0U; o < cfg->outer; ++o) {
        for (uint32_t i = 0U; i < cfg->n; ++i) {
            (void)memcpy(y, &x[idx[i] * inner], inner * sizeof *y);
            y += inner;
        }
        x += cfg->len * inner;
    }
}
