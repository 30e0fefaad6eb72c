#include "tg_insert_s16.h"

#include <string.h>

TG_SHARED void tg_insert_s16(const tg_insert_s16_cfg_t *cfg, const int16_t *cache, const int16_t *update,
                             const int8_t *at, int16_t *y)
{
    const uint32_t width = cfg->width;
    const uint32_t piece = cfg->length * width;
    const uint32_t written = cfg->count * width;
    if (y != cache) {
        (void)memcpy(y, cache, cfg->outer * piece * sizeof *y);
    }
    for (uint32_t o = 0U; o < cfg->outer; ++o) {
        int32_t first = (((at[o / cfg->each] - cfg->zero) * cfg->unit) + 32768) >> 16;
        uint32_t before;
        uint32_t behind;
        first = (first < 0) ? 0 : (first > cfg->last) ? cfg->last : first;
        before = (uint32_t)first * width;
        behind = piece - before; /* up to the end of the piece; the rest goes to its front */
        behind = (written < behind) ? written : behind;
        (void)memcpy(&y[before], update, behind * sizeof *y);
        (void)memcpy(y, &update[behind], (written - behind) * sizeof *y);
        y += piece;
        update += written;
    }
}
