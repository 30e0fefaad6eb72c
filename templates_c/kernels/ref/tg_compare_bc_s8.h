/**
 * @file  tg_compare_bc_s8.h
 * @brief Is one int8 tensor less than another, or equal to it, element by element, with broadcasting.
 */
#ifndef TG_COMPARE_BC_S8_H_INCLUDED
#define TG_COMPARE_BC_S8_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t dims[4];    /**< of y, outermost first */
    int32_t a_stride[4]; /**< in elements; 0 repeats (broadcast) */
    int32_t b_stride[4];
    int32_t equal; /**< 0: a < b; 1: a == b */
    int32_t yes;   /**< what y is where that holds */
    int32_t no;    /**< what it is elsewhere */
} tg_compare_bc_s8_cfg_t;

/**
 * a and b share scale and zero point. y: [dims], contiguous; must not overlap a or b.
 */
void tg_compare_bc_s8(const tg_compare_bc_s8_cfg_t *cfg, const int8_t *a, const int8_t *b, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_COMPARE_BC_S8_H_INCLUDED */
