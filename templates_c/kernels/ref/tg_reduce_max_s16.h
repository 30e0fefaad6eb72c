/**
 * @file  tg_reduce_max_s16.h
 * @brief Maximum over the middle axis of [outer][n][inner], int16.
 */
#ifndef TG_REDUCE_MAX_S16_H_INCLUDED
#define TG_REDUCE_MAX_S16_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t outer;
    uint32_t n;
    uint32_t inner;
} tg_reduce_max_s16_cfg_t;

/**
 * x: [outer][n][inner], n >= 1; y: [outer][inner], must not overlap x.
 */
void tg_reduce_max_s16(const tg_reduce_max_s16_cfg_t *cfg, const int16_t *x, int16_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_REDUCE_MAX_S16_H_INCLUDED */
