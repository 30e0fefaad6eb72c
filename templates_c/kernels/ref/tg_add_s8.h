/**
 * @file  tg_add_s8.h
 * @brief Element-wise sum (or difference: negative mb) of two int8 tensors of one shape.
 */
#ifndef TG_ADD_S8_H_INCLUDED
#define TG_ADD_S8_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t n;
    int32_t c;  /**< rounding, output zero point and both input zero points */
    int32_t ma; /**< |ma|, |mb| < 2^21 */
    int32_t mb;
    uint16_t shift; /**< 0..22 */
    int16_t lo;
    int16_t hi;
} tg_add_s8_cfg_t;

/**
 * y = clamp((c + a * ma + b * mb) >> shift). a, b, y: [n]. In place allowed: y == a or y == b.
 */
void tg_add_s8(const tg_add_s8_cfg_t *cfg, const int8_t *a, const int8_t *b, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_ADD_S8_H_INCLUDED */
