#include "tg_compare_s8.h"

TG_SHARED void tg_compare_s8(const tg_compare_s8_cfg_t *cfg, const int8_t *a, const int8_t *b, int8_t *y)
{
    const uint32_t n = cfg->n;
    const int8_t yes = (int8_t)cfg->yes;
    const int8_t no = (int8_t)cfg->no;
    if (cfg->equal != 0) {
        for (uint32_t i = 0U; i < n; ++i) {
            y[i] = (a[i] == b[i]) ? yes : no;
        }
    } else {
        for (uint32_t i = 0U; i < n; ++i) {
            y[i] = (a[i] < b[i]) ? yes : no;
        }
    }
}
