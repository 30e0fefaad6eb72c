#include "tg_mul_s8_mve.h"

#include "tg_isa_mve.h"
#include "tg_numerics.h"

TG_SHARED void tg_mul_s8_mve(const tg_mul_s8_cfg_t *cfg, const int8_t *a, const int8_t *b, int8_t *y)
{
#if TG_MVE
    __asm__ volatile("vdup.32 q4, %[bounds]\n" /* lo below, hi above, as halves */
                     "vmovlb.s16 q5, q4\n"
                     "vmovlt.s16 q6, q4\n"
                     "wlstp.32 lr, %[n], 2f\n"
                     "1: vldrb.s32 q0, [%[a]], #4\n"
                     "vldrb.s32 q1, [%[b]], #4\n"
                     "vsub.i32 q0, q0, %[a_zp]\n"
                     "vsub.i32 q1, q1, %[b_zp]\n"
                     "vmul.i32 q0, q0, q1\n"
                     "vqdmulh.s32 q0, q0, %[m]\n"
                     "vrshl.s32 q0, %[shift]\n"
                     "vadd.i32 q0, q0, %[zp]\n"
                     "vmax.s32 q0, q0, q5\n"
                     "vmin.s32 q0, q0, q6\n"
                     "vstrb.32 q0, [%[y]], #4\n"
                     "letp lr, 1b\n"
                     "2:\n"
                     : [a] "+l"(a), [b] "+l"(b), [y] "+l"(y)
                     : [n] "r"(cfg->n), [a_zp] "r"((int32_t)cfg->a_zp), [b_zp] "r"((int32_t)cfg->b_zp), [m] "r"(cfg->m),
                       [shift] "r"(31 - cfg->shift), [zp] "r"((int32_t)cfg->out_zp),
                       [bounds] "r"(((uint32_t)cfg->lo & 0xFFFFU) | ((uint32_t)cfg->hi << 16))
                     : "lr", "q0", "q1", "q4", "q5", "q6", "memory");
#else
    const tg_mul_s8_cfg_t k = *cfg; /* a copy: y may alias anything as far as the compiler knows */
    for (uint32_t i = 0U; i < k.n; ++i) {
        const int32_t v = tg_requant_mve((a[i] - k.a_zp) * (b[i] - k.b_zp), k.m, k.shift);
        y[i] = (int8_t)tg_clamp(k.out_zp + v, k.lo, k.hi);
    }
#endif
}
