/**
 * @file  tg_mul_s16.h
 * @brief Element-wise product of two int16 tensors of one shape.
 */
#ifndef TG_MUL_S16_H_INCLUDED
#define TG_MUL_S16_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t n;
    int32_t m;
    int16_t lo;
    int16_t hi;
    uint16_t shift; /**< 1..62 */
} tg_mul_s16_cfg_t;

/**
 * y = clamp(requant(a * b)). a, b, y: [n]. In place allowed: y == a or y == b.
 */
void tg_mul_s16(const tg_mul_s16_cfg_t *cfg, const int16_t *a, const int16_t *b, int16_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_MUL_S16_H_INCLUDED */
