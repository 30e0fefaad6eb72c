/**
 * @file  tg_prelu_s16.h
 * @brief PRelu with one slope for each channel (the last axis).
 */
#ifndef TG_PRELU_S16_H_INCLUDED
#define TG_PRELU_S16_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t rows;
    uint32_t channels;
    int32_t mp;     /**< multiplier of values above zero */
    uint16_t shift; /**< 1..62 */
} tg_prelu_s16_cfg_t;

/**
 * y = clamp(requant(x, x < 0 ? mn[c] : mp), -32768, 32767).
 * x, y: [rows][channels]; mn: [channels]. In place allowed: y == x.
 */
void tg_prelu_s16(const tg_prelu_s16_cfg_t *cfg, const int16_t *x, const int32_t *mn, int16_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_PRELU_S16_H_INCLUDED */
