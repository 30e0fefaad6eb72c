/**
 * @file  tg_softmax_s8.h
 * @brief Softmax over the last axis, int8. Output scale 1/256, zero point -128.
 */
#ifndef TG_SOFTMAX_S8_H_INCLUDED
#define TG_SOFTMAX_S8_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t rows;
    uint32_t n;   /**< 1..4096: the sum of n table entries fits uint32 with room to spare */
    uint32_t len; /**< entries of e; beyond them e is 0 */
} tg_softmax_s8_cfg_t;

/**
 * x, y: [rows][n]; e: [len], rint(65535 * exp(-scale * d)). In place allowed: y == x.
 */
void tg_softmax_s8(const tg_softmax_s8_cfg_t *cfg, const int8_t *x, const uint16_t *e, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_SOFTMAX_S8_H_INCLUDED */
