/**
 * @file  tg_add_s16.h
 * @brief Element-wise sum (or difference: negative mb) of two int16 tensors of one shape.
 */
#ifndef TG_ADD_S16_H_INCLUDED
#define TG_ADD_S16_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t n;
    int32_t c;  /**< rounding */
    int16_t ma; /**< |ma|, |mb| < 2^14: the sum stays below 2^31 */
    int16_t mb;
    uint16_t shift; /**< 0..22 */
    int16_t lo;
    int16_t hi;
} tg_add_s16_cfg_t;

/**
 * y = clamp((c + a * ma + b * mb) >> shift). a, b, y: [n]. In place allowed: y == a or y == b.
 */
void tg_add_s16(const tg_add_s16_cfg_t *cfg, const int16_t *a, const int16_t *b, int16_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_ADD_S16_H_INCLUDED */
