/**
 * @file  tg_max_s16.h
 * @brief The larger of two int16 tensors of one shape, element by element.
 */
#ifndef TG_MAX_S16_H_INCLUDED
#define TG_MAX_S16_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t n;
} tg_max_s16_cfg_t;

/**
 * y = max(a, b); all three share scale and zero point. a, b, y: [n]. In place allowed: y == a or y == b.
 */
void tg_max_s16(const tg_max_s16_cfg_t *cfg, const int16_t *a, const int16_t *b, int16_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_MAX_S16_H_INCLUDED */
