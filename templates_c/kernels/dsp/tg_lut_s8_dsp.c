#include "tg_lut_s8_dsp.h"

#include "tg_isa_dsp.h"

TG_SHARED void tg_lut_s8_dsp(const tg_lut_s8_cfg_t *cfg, const int8_t *x, const int8_t *table, int8_t *y)
{
    const uint32_t n = cfg->n;
    const int8_t *const end = &x[n & ~3U];
    while (x != end) {
        const uint32_t v = tg_load32(x) ^ 0x80808080U; /* x + 128 in each byte */
        const int8_t y0 = table[v & 0xFFU];
        const int8_t y1 = table[(v >> 8) & 0xFFU];
        const int8_t y2 = table[(v >> 16) & 0xFFU];
        const int8_t y3 = table[v >> 24];
        y[0] = y0;
        y[1] = y1;
        y[2] = y2;
        y[3] = y3;
        x += 4;
        y += 4;
    }
    for (uint32_t i = 0U; i < (n & 3U); ++i) {
        y[i] = table[x[i] + 128];
    }
}
