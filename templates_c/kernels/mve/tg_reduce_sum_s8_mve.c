#include "tg_reduce_sum_s8_mve.h"

#include "tg_numerics.h"
#include "tg_sum_mve.h"

/** The sum of n neighbours. */
static inline int32_t tg_reduce_run(const int8_t *x, int32_t n)
{
    int32_t sum = 0;
#if TG_MVE
    register int32_t even __asm__("r0") = 0; /* VADDVA wants an even register */
    __asm__ volatile("wlstp.8 lr, %[n], 2f\n"
                     "1: vldrb.8 q0, [%[x]], #16\n"
                     "vaddva.s8 %[even], q0\n"
                     "letp lr, 1b\n"
                     "2:\n"
                     : [even] "+r"(even), [x] "+r"(x)
                     : [n] "r"(n)
                     : "lr", "q0", "memory");
    sum = even;
#else
    for (int32_t i = 0; i < n; ++i) {
        sum += x[i];
    }
#endif
    return sum;
}

TG_SHARED void tg_reduce_sum_s8_mve(const tg_reduce_sum_s8_cfg_t *cfg, const int8_t *x, int8_t *y)
{
    const int32_t n = (int32_t)cfg->n;
    const int32_t inner = (int32_t)cfg->inner;
    const tg_sum_mve_t s = {
        1, n, inner, 0, -(n * cfg->in_zp), cfg->m, 31 - cfg->shift, cfg->out_zp, (cfg->even != 0U) ? n : 0};
    for (uint32_t o = 0U; o < cfg->outer; ++o) {
        if (inner == 1) {
            const int32_t acc = s.start + tg_reduce_run(x, n);
            int32_t q = tg_requant(acc, s.m, cfg->shift);
            if (s.even != 0) {
                q = tg_half_to_even(q, acc, n);
            }
            *y = (int8_t)tg_clamp(q + s.zp, -128, 127);
        } else {
            tg_sum_mve(&s, x, inner, y);
        }
        x += n * inner;
        y += inner;
    }
}
