#include "tg_min_bc_s8.h"

TG_SHARED void tg_min_bc_s8(const tg_min_bc_s8_cfg_t *cfg, const int8_t *a, const int8_t *b, int8_t *y)
{
    const tg_min_bc_s8_cfg_t k = *cfg; /* a copy: y may alias anything as far as the compiler knows */
    const int8_t *a0 = a;
    const int8_t *b0 = b;
    for (uint32_t i0 = 0U; i0 < k.dims[0]; ++i0) {
        const int8_t *a1 = a0;
        const int8_t *b1 = b0;
        for (uint32_t i1 = 0U; i1 < k.dims[1]; ++i1) {
            const int8_t *a2 = a1;
            const int8_t *b2 = b1;
            for (uint32_t i2 = 0U; i2 < k.dims[2]; ++i2) {
                const int8_t *p = a2;
                const int8_t *q = b2;
                for (uint32_t i3 = 0U; i3 < k.dims[3]; ++i3) {
                    *y = (*p < *q) ? *p : *q;
                    ++y;
                    p += k.a_stride[3];
                    q += k.b_stride[3];
                }
                a2 += k.a_stride[2];
                b2 += k.b_stride[2];
            }
            a1 += k.a_stride[1];
            b1 += k.b_stride[1];
        }
        a0 += k.a_stride[0];
        b0 += k.b_stride[0];
    }
}
