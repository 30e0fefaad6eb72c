/**
 * @file  tg_mul_s8.h
 * @brief Element-wise product of two int8 tensors of one shape.
 */
#ifndef TG_MUL_S8_H_INCLUDED
#define TG_MUL_S8_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t n;
    int32_t m;
    int16_t a_zp;
    int16_t b_zp;
    int16_t out_zp;
    int16_t lo;
    int16_t hi;
    uint16_t shift; /**< 1..62 */
} tg_mul_s8_cfg_t;

/**
 * y = clamp(out_zp + requant((a - a_zp) * (b - b_zp))). a, b, y: [n]. In place allowed: y == a or y == b.
 */
void tg_mul_s8(const tg_mul_s8_cfg_t *cfg, const int8_t *a, const int8_t *b, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_MUL_S8_H_INCLUDED */
