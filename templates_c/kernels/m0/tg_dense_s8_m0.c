#include "tg_dense_s8_m0.h"

#include "tg_dense_lanes.h"

TG_SHARED void tg_dense_s8_m0(const tg_dense_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, const int32_t *b,
                              const int32_t *m, int16_t *scratch, int8_t *y)
{
    tg_dense_lanes(cfg, x, w, b, m, scratch, y);
}
