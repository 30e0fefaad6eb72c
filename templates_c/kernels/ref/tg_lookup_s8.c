#include "tg_lookup_s8.h"

#include <string.h>

TG_SHARED void tg_lookup_s8(const tg_lookup_s8_cfg_t *cfg, const int8_t *x, const int8_t *rows, int8_t *y)
{
    const uint32_t width = cfg->width;
    for (uint32_t i = 0U; i < cfg->n; ++i) {
        int32_t row = x[i] - cfg->zero;
        row = row < 0 ? 0 : row > cfg->last ? cfg->last : row;
        (void)memcpy(y, &rows[(uint32_t)row * width], width);
        y += width;
    }
}
