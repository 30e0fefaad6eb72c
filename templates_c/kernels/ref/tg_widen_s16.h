/**
 * @file  tg_widen_s16.h
 * @brief int8 to int16 of a finer scale.
 */
#ifndef TG_WIDEN_S16_H_INCLUDED
#define TG_WIDEN_S16_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t n;
    int32_t m; /**< < 2^22 */
    int16_t in_zp;
    uint16_t shift; /**< 0..22 */
} tg_widen_s16_cfg_t;

/**
 * y = clamp(((x - in_zp) * m + 2^(shift-1)) >> shift, -32768, 32767); with shift 0 nothing is added. x, y: [n]; y must
 * not overlap x.
 */
void tg_widen_s16(const tg_widen_s16_cfg_t *cfg, const int8_t *x, int16_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_WIDEN_S16_H_INCLUDED */
