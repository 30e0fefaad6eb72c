/**
 * @file  tg_rescale_s16.h
 * @brief int16 to int16 of another scale.
 */
#ifndef TG_RESCALE_S16_H_INCLUDED
#define TG_RESCALE_S16_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t n;
    int32_t m;
    uint16_t shift; /**< 1..62 */
} tg_rescale_s16_cfg_t;

/**
 * y = clamp(requant(x), -32768, 32767). x, y: [n]. In place allowed: y == x.
 */
void tg_rescale_s16(const tg_rescale_s16_cfg_t *cfg, const int16_t *x, int16_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_RESCALE_S16_H_INCLUDED */
