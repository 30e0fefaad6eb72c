/**
 * @file  tg_min_s16.h
 * @brief The smaller of two int16 tensors of one shape, element by element.
 */
#ifndef TG_MIN_S16_H_INCLUDED
#define TG_MIN_S16_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t n;
} tg_min_s16_cfg_t;

/**
 * y = min(a, b); all three share scale and zero point. a, b, y: [n]. In place allowed: y == a or y == b.
 */
void tg_min_s16(const tg_min_s16_cfg_t *cfg, const int16_t *a, const int16_t *b, int16_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_MIN_S16_H_INCLUDED */
