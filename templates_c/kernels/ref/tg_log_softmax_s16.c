#include "tg_log_softmax_s16.h"

#include "tg_exp2.h"
#include "tg_log2.h"

TG_SHARED void tg_log_softmax_s16(const tg_log_softmax_s16_cfg_t *cfg, const int16_t *x, void *y)
{
    const tg_log_softmax_s16_cfg_t k = *cfg; /* a copy: y may alias anything as far as the compiler knows */
    const tg_exp2_t rule = {k.exp_m, k.exp_shift, k.len};
    uint32_t at = 0U;
    for (uint32_t r = 0U; r < k.rows; ++r) {
        const int32_t top = tg_top_s16(x, k.n);
        const int32_t log = tg_log2_q16(tg_exp2_sum(&rule, x, k.n, top)) - TG_LOG2_OF_65536;
        const int64_t base = ((int64_t)1 << (k.shift - 1U)) - ((int64_t)log * k.m2);
        for (uint32_t i = 0U; i < k.n; ++i) {
            const int64_t v = k.out_zp + ((base - ((int64_t)(top - x[i]) * k.m1)) >> k.shift);
            if (k.wide != 0U) {
                ((int16_t *)y)[at + i] = (int16_t)((v < -32768) ? -32768 : ((v > 32767) ? 32767 : v));
            } else {
                ((int8_t *)y)[at + i] = (int8_t)((v < -128) ? -128 : ((v > 127) ? 127 : v));
            }
        }
        x += k.n;
        at += k.n;
    }
}
