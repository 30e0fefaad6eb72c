/**
 * @file  tg_gather_s16.h
 * @brief Gather along one axis, with indices known when the code was generated, int16.
 */
#ifndef TG_GATHER_S16_H_INCLUDED
#define TG_GATHER_S16_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t outer;
    uint32_t len; /**< of the axis in x */
    uint32_t n;   /**< of the axis in y */
    uint32_t inner;
} tg_gather_s16_cfg_t;

/**
 * y[o][i][:] = x[o][idx[i]][:]. x: [outer][len][inner]; idx: [n], each < len; y: [outer][n][inner], must not overlap x.
 */
void tg_gather_s16(const tg_gather_s16_cfg_t *cfg, const int16_t *x, const uint16_t *idx, int16_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_GATHER_S16_H_INCLUDED */
