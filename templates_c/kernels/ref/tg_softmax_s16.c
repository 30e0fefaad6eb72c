#include "tg_softmax_s16.h"

#include "tg_exp2.h"

TG_SHARED void tg_softmax_s16(const tg_softmax_s16_cfg_t *cfg, const int16_t *x, void *y)
{
    const tg_softmax_s16_cfg_t k = *cfg; /* a copy: y may alias anything as far as the compiler knows */
    const tg_exp2_t rule = {k.exp_m, k.exp_shift, k.len};
    uint32_t at = 0U;
    for (uint32_t r = 0U; r < k.rows; ++r) {
        const int32_t top = tg_top_s16(x, k.n);
        const uint32_t sum = tg_exp2_sum(&rule, x, k.n, top);
        for (uint32_t i = 0U; i < k.n; ++i) {
            const uint32_t e = tg_exp2_q16(&rule, (uint32_t)(top - x[i]));
            if (k.wide != 0U) {
                const uint32_t q = ((e * 32768U) + (sum >> 1)) / sum; /* e <= 2^16, sum <= 2^28 */
                ((int16_t *)y)[at + i] = (int16_t)((q < 32767U) ? q : 32767U);
            } else {
                const uint32_t q = ((e * 256U) + (sum >> 1)) / sum;
                ((int8_t *)y)[at + i] = (int8_t)((q < 255U) ? ((int32_t)q - 128) : 127);
            }
        }
        x += k.n;
        at += k.n;
    }
}
