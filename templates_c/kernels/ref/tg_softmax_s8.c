#include "tg_softmax_s8.h"

TG_SHARED void tg_softmax_s8(const tg_softmax_s8_cfg_t *cfg, const int8_t *x, const uint16_t *e, int8_t *y)
{
    const uint32_t n = cfg->n;
    const uint32_t len = cfg->len;
    for (uint32_t r = 0U; r < cfg->rows; ++r) {
        int32_t top = -128;
        uint32_t sum = 0U;
        for (uint32_t i = 0U; i < n; ++i) {
            top = (x[i] > top) ? x[i] : top;
        }
        for (uint32_t i = 0U; i < n; ++i) {
            const uint32_t d = (uint32_t)(top - x[i]);
            sum += (d < len) ? e[d] : 0U;
        }
        for (uint32_t i = 0U; i < n; ++i) {
            const uint32_t d = (uint32_t)(top - x[i]);
            const uint32_t q = (d < len) ? ((((uint32_t)e[d] * 256U) + (sum >> 1)) / sum) : 0U;
            y[i] = (int8_t)((q < 255U) ? ((int32_t)q - 128) : 127);
        }
        x += n;
        y += n;
    }
}
