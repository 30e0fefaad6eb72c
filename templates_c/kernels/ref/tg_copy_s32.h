/**
 * @file  tg_copy_s32.h
 * @brief Strided copy of int32: transpose, slice, concatenate, pad, expand.
 */
#ifndef TG_COPY_S32_H_INCLUDED
#define TG_COPY_S32_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t dims[6];    /**< outermost first, each >= 1 */
    int32_t x_stride[6]; /**< in elements, may be negative or 0 */
    int32_t y_stride[6];
    int32_t x_offset; /**< first element read */
    int32_t y_offset; /**< first element written */
} tg_copy_s32_cfg_t;

/**
 * y[y_offset + sum i_k * y_stride[k]] = x[x_offset + sum i_k * x_stride[k]] for every index i in dims.
 * The elements read and written must not overlap.
 */
void tg_copy_s32(const tg_copy_s32_cfg_t *cfg, const int32_t *x, int32_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_COPY_S32_H_INCLUDED */
