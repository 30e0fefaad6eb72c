/**
 * @file  tg_add_s8_mve.h
 * @brief Element-wise sum (or difference) of two tensors of one shape, int8, for cores with Helium. Same bits as
 * tg_add_s8.
 */
#ifndef TG_ADD_S8_MVE_H_INCLUDED
#define TG_ADD_S8_MVE_H_INCLUDED

#include "tg_add_s8.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * a, b, y: [n]. In place allowed: y == a or y == b.
 */
void tg_add_s8_mve(const tg_add_s8_cfg_t *cfg, const int8_t *a, const int8_t *b, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_ADD_S8_MVE_H_INCLUDED */
