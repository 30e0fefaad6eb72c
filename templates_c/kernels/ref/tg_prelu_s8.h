/**
 * @file  tg_prelu_s8.h
 * @brief PRelu with one slope for each channel (the last axis).
 */
#ifndef TG_PRELU_S8_H_INCLUDED
#define TG_PRELU_S8_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t rows;
    uint32_t channels;
    int32_t mp; /**< multiplier of values above the zero point */
    int16_t in_zp;
    int16_t out_zp;
    uint16_t shift; /**< 1..62 */
} tg_prelu_s8_cfg_t;

/**
 * d = x - in_zp; y = clamp(out_zp + requant(d, d < 0 ? mn[c] : mp), -128, 127).
 * x, y: [rows][channels]; mn: [channels]. In place allowed: y == x.
 */
void tg_prelu_s8(const tg_prelu_s8_cfg_t *cfg, const int8_t *x, const int32_t *mn, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_PRELU_S8_H_INCLUDED */
