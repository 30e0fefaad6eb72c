/**
 * @file  tg_broadcast_s16.h
 * @brief The walk over two broadcast int16 operands, shared by the element-wise kernels.
 */
#ifndef TG_BROADCAST_S16_H_INCLUDED
#define TG_BROADCAST_S16_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

/** One output value from one value of each operand; `k` is the kernel's own copy of its config. */
typedef int16_t (*tg_pair16_fn_t)(const void *k, int32_t a, int32_t b);

/**
 * y = fn(a, b) over dims (outermost first); strides in elements, 0 repeats. Always inlined with a constant `fn`: no
 * call remains.
 */
static TG_INLINE void tg_broadcast_s16(const uint32_t dims[4], const int32_t a_stride[4], const int32_t b_stride[4],
                                       const int16_t *a, const int16_t *b, int16_t *y, tg_pair16_fn_t fn, const void *k)
{
    const int16_t *a0 = a;
    const int16_t *b0 = b;
    for (uint32_t i0 = 0U; i0 < dims[0]; ++i0) {
        const int16_t *a1 = a0;
        const int16_t *b1 = b0;
        for (uint32_t i1 = 0U; i1 < dims[1]; ++i1) {
            const int16_t *a2 = a1;
            const int16_t *b2 = b1;
            for (uint32_t i2 = 0U; i2 < dims[2]; ++i2) {
                const int16_t *p = a2;
                const int16_t *q = b2;
                for (uint32_t i3 = 0U; i3 < dims[3]; ++i3) {
                    *y = fn(k, *p, *q);
                    ++y;
                    p += a_stride[3];
                    q += b_stride[3];
                }
                a2 += a_stride[2];
                b2 += b_stride[2];
            }
            a1 += a_stride[1];
            b1 += b_stride[1];
        }
        a0 += a_stride[0];
        b0 += b_stride[0];
    }
}

#ifdef __cplusplus
}
#endif

#endif /* TG_BROADCAST_S16_H_INCLUDED */
