/**
 * @file  tg_add_s8_m0.h
 * @brief Element-wise sum (or difference: negative mb) of two int8 tensors of one shape, for Cortex-M0 and M0+.
 */
#ifndef TG_ADD_S8_M0_H_INCLUDED
#define TG_ADD_S8_M0_H_INCLUDED

#include "tg_add_s8.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * y = clamp((c + a * ma + b * mb) >> shift), the bits of tg_add_s8. n > 0. a, b, y: [n]. In place allowed: y == a or
 * y == b.
 */
void tg_add_s8_m0(const tg_add_s8_cfg_t *cfg, const int8_t *a, const int8_t *b, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_ADD_S8_M0_H_INCLUDED */
