#include "tg_reduce_max_s16.h"

TG_SHARED void tg_reduce_max_s16(const tg_reduce_max_s16_cfg_t *cfg, const int16_t *x, int16_t *y)
{
    const uint32_t n = cfg->n;
    const uint32_t inner = cfg->inner;
    for (uint32_t o = 0U; o < cfg->outer; ++o) {
        for (uint32_t i = 0U; i < inner; ++i) {
            uint32_t at = i;
            int32_t best = x[at];
            for (uint32_t j = 1U; j < n; ++j) {
                at += inner;
                best = (x[at] > best) ? x[at] : best;
            }
            y[i] = (int16_t)best;
        }
        x += n * inner;
        y += inner;
    }
}
