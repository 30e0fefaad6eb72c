#include "tg_log_sum_exp_s8.h"

#include "tg_log2.h"

TG_SHARED void tg_log_sum_exp_s8(const tg_log_sum_exp_s8_cfg_t *cfg, const int8_t *x, const uint16_t *e, int8_t *y)
{
    const uint32_t n = cfg->n;
    const uint32_t len = cfg->len;
    const uint32_t shift = cfg->shift;
    const int64_t half = (int64_t)1 << (shift - 1U);
    for (uint32_t r = 0U; r < cfg->rows; ++r) {
        int32_t top = -128;
        int32_t log;
        uint32_t sum = 0U;
        int64_t v;
        for (uint32_t i = 0U; i < n; ++i) {
            top = (x[i] > top) ? x[i] : top;
        }
        for (uint32_t i = 0U; i < n; ++i) {
            const uint32_t d = (uint32_t)(top - x[i]);
            sum += (d < len) ? e[d] : 0U;
        }
        log = tg_log2_q16(sum) - TG_LOG2_OF_65535;
        v = cfg->out_zp + ((((int64_t)(top - cfg->in_zp) * cfg->m1) + ((int64_t)log * cfg->m2) + half) >> shift);
        y[r] = (int8_t)((v < -128) ? -128 : ((v > 127) ? 127 : v));
        x += n;
    }
}
