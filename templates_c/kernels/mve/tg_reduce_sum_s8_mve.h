/**
 * @file  tg_reduce_sum_s8_mve.h
 * @brief Sum or mean over the middle axis, int8, for cores with Helium. Same bits as tg_reduce_sum_s8.
 */
#ifndef TG_REDUCE_SUM_S8_MVE_H_INCLUDED
#define TG_REDUCE_SUM_S8_MVE_H_INCLUDED

#include "tg_reduce_sum_s8.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Limit: 32 <= shift <= 62. x: [outer][n][inner]; y: [outer][inner], must not overlap x.
 */
void tg_reduce_sum_s8_mve(const tg_reduce_sum_s8_cfg_t *cfg, const int8_t *x, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_REDUCE_SUM_S8_MVE_H_INCLUDED */
