#include "tg_add_s8_mve.h"

#include "tg_isa_mve.h"
#include "tg_numerics.h"

TG_SHARED void tg_add_s8_mve(const tg_add_s8_cfg_t *cfg, const int8_t *a, const int8_t *b, int8_t *y)
{
#if TG_MVE
    __asm__ volatile("vdup.32 q4, %[ma]\n"
                     "vdup.32 q5, %[lo]\n"
                     "vdup.32 q6, %[hi]\n"
                     "wlstp.32 lr, %[n], 2f\n"
                     "1: vldrb.s32 q0, [%[a]], #4\n"
                     "vldrb.s32 q1, [%[b]], #4\n"
                     "vmlas.s32 q0, q4, %[c]\n"
                     "vmla.s32 q0, q1, %[mb]\n"
                     "vshl.s32 q0, %[shift]\n"
                     "vmax.s32 q0, q0, q5\n"
                     "vmin.s32 q0, q0, q6\n"
                     "vstrb.32 q0, [%[y]], #4\n"
                     "letp lr, 1b\n"
                     "2:\n"
                     : [a] "+l"(a), [b] "+l"(b), [y] "+l"(y)
                     : [n] "r"(cfg->n), [ma] "r"(cfg->ma), [mb] "r"(cfg->mb), [c] "r"(cfg->c),
                       [shift] "r"(-(int32_t)cfg->shift), [lo] "r"((int32_t)cfg->lo), [hi] "r"((int32_t)cfg->hi)
                     : "lr", "q0", "q1", "q4", "q5", "q6", "memory");
#else
    for (uint32_t i = 0U; i < cfg->n; ++i) {
        const int32_t v = cfg->c + (a[i] * cfg->ma) + (b[i] * cfg->mb);
        y[i] = (int8_t)tg_clamp(v >> cfg->shift, cfg->lo, cfg->hi);
    }
#endif
}
