#include "tg_log_softmax_s8.h"

#include "tg_log2.h"

TG_SHARED void tg_log_softmax_s8(const tg_log_softmax_s8_cfg_t *cfg, const int8_t *x, const uint16_t *e, int8_t *y)
{
    const uint32_t n = cfg->n;
    const uint32_t len = cfg->len;
    const uint32_t shift = cfg->shift;
    for (uint32_t r = 0U; r < cfg->rows; ++r) {
        int32_t top = -128;
        uint32_t sum = 0U;
        int64_t base;
        for (uint32_t i = 0U; i < n; ++i) {
            top = (x[i] > top) ? x[i] : top;
        }
        for (uint32_t i = 0U; i < n; ++i) {
            const uint32_t d = (uint32_t)(top - x[i]);
            sum += (d < len) ? e[d] : 0U;
        }
        base = ((int64_t)1 << (shift - 1U)) - ((int64_t)(tg_log2_q16(sum) - TG_LOG2_OF_65535) * cfg->m2);
        for (uint32_t i = 0U; i < n; ++i) {
            const int64_t v = cfg->out_zp + ((base - ((int64_t)(top - x[i]) * cfg->m1)) >> shift);
            y[i] = (int8_t)((v < -128) ? -128 : ((v > 127) ? 127 : v));
        }
        x += n;
        y += n;
    }
}
