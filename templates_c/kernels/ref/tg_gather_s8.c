#include "tg_gather_s8.h"

#include <string.h>

TG_SHARED void tg_gather_s8(const tg_gather_s8_cfg_t *cfg, const int8_t *x, const uint16_t *idx, int8_t *y)
{
    const uint32_t inner = cfg->inner;
    for (uint32_t o = 0U; o < cfg->outer; ++o) {
        for (uint32_t i = 0U; i < cfg->n; ++i) {
            (void)memcpy(y, &x[idx[i] * inner], inner);
            y += inner;
        }
        x += cfg->len * inner;
    }
}
