#include "tg_pad_planes_s8.h"

TG_SHARED void tg_pad_planes_s8(const tg_pad_planes_s8_cfg_t *cfg, int8_t *y)
{
    const int8_t zp = (int8_t)cfg->zp;
    const uint32_t stride = cfg->stride;
    const uint32_t gap = stride - cfg->cols;
    for (uint32_t i = 0U; i < cfg->lead; ++i) {
        *y = zp;
        ++y;
    }
    y += cfg->cols;
    for (uint32_t i = 0U; i < gap; ++i) { /* nearly always one byte */
        int8_t *v = &y[i];
        uint32_t row = cfg->count;
        for (; row >= 4U; row -= 4U) {
            v[0] = zp;
            v[stride] = zp;
            v[2U * stride] = zp;
            v[3U * stride] = zp;
            v += 4U * stride;
        }
        for (; row > 0U; --row) {
            *v = zp;
            v += stride;
        }
    }
}
