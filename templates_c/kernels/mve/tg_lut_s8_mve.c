#include "tg_lut_s8_mve.h"

#include "tg_isa_mve.h"

TG_SHARED void tg_lut_s8_mve(const tg_lut_s8_cfg_t *cfg, const int8_t *x, const int8_t *table, int8_t *y)
{
#if TG_MVE
    __asm__ volatile("wlstp.8 lr, %[n], 2f\n"
                     "1: vldrb.8 q0, [%[x]], #16\n"
                     "vadd.i8 q0, q0, %[half]\n"
                     "vldrb.u8 q1, [%[table], q0]\n"
                     "vstrb.8 q1, [%[y]], #16\n"
                     "letp lr, 1b\n"
                     "2:\n"
                     : [x] "+r"(x), [y] "+r"(y)
                     : [n] "r"(cfg->n), [half] "r"(128), [table] "r"(table)
                     : "lr", "q0", "q1", "memory");
#else
    for (uint32_t i = 0U; i < cfg->n; ++i) {
        y[i] = table[x[i] + 128];
    }
#endif
}
