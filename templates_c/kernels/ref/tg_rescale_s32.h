/**
 * @file  tg_rescale_s32.h
 * @brief The same real value in other integers, where one side lies in int32: 24 bits of a cell.
 */
#ifndef TG_RESCALE_S32_H_INCLUDED
#define TG_RESCALE_S32_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t n;
    int32_t m;
    uint32_t shift; /**< of the requantisation, 1..62 */
    int32_t in_zp;
    int32_t out_zp;
    int32_t lo; /**< clamp */
    int32_t hi;
    uint16_t x_bits; /**< in which each value of x lies: 8, 16 or 32 */
    uint16_t y_bits; /**< and of y */
} tg_rescale_s32_cfg_t;

/**
 * y = clamp(out_zp + requant(x - in_zp, m, shift), lo, hi). x, y: [n] of the types that x_bits and y_bits say; y must
 * not overlap x.
 */
void tg_rescale_s32(const tg_rescale_s32_cfg_t *cfg, const void *x, void *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_RESCALE_S32_H_INCLUDED */
