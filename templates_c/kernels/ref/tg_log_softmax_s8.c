#include "tg_log_softmax_s8.h"

/** rint(65536 * log2(1 + j / 64)), j = 0..64. */
static const int32_t tg_log2_table[65] = {
    0,     1466,  2909,  4331,  5732,  7112,  8473,  9814,  11136, 12440, 13727, 14996, 16248,
    17484, 18704, 19909, 21098, 22272, 23433, 24579, 25711, 26830, 27936, 29029, 30109, 31178,
    32234, 33279, 34312, 35334, 36346, 37346, 38336, 39316, 40286, 41246, 42196, 43137, 44068,
    44990, 45904, 46809, 47705, 48593, 49472, 50344, 51207, 52063, 52911, 53751, 54584, 55410,
    56229, 57040, 57845, 58643, 59434, 60219, 60997, 61769, 62534, 63294, 64047, 64794, 65536,
};

/** log2(sum / 65535) in Q16 by linear interpolation; 65535 <= sum < 2^31 (docs/NUMERICS.md section 4). */
static int32_t tg_log2_q16(uint32_t sum)
{
    uint32_t f = sum;
    uint32_t i;
    int32_t r;
    int32_t step;
    int32_t n = 31;
    while (f < 0x80000000U) {
        f <<= 1;
        --n;
    }
    i = (f >> 25) & 63U;
    r = (int32_t)((f >> 9) & 0xFFFFU);
    step = tg_log2_table[i + 1U] - tg_log2_table[i];
    /* 1048575 is what this rule gives for 65535 */
    return (n * 65536) + tg_log2_table[i] + (((step * r) + 32768) >> 16) - 1048575;
}

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
        base = ((int64_t)1 << (shift - 1U)) - ((int64_t)tg_log2_q16(sum) * cfg->m2);
        for (uint32_t i = 0U; i < n; ++i) {
            const int64_t v = cfg->out_zp + ((base - ((int64_t)(top - x[i]) * cfg->m1)) >> shift);
            y[i] = (int8_t)((v < -128) ? -128 : ((v > 127) ? 127 : v));
        }
        x += n;
        y += n;
    }
}
