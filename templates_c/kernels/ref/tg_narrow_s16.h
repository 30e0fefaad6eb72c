/**
 * @file  tg_narrow_s16.h
 * @brief int16 to int8 of a coarser scale.
 */
#ifndef TG_NARROW_S16_H_INCLUDED
#define TG_NARROW_S16_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t n;
    int32_t m; /**< < 2^15 */
    int16_t out_zp;
    uint16_t shift; /**< 0..30 */
} tg_narrow_s16_cfg_t;

/**
 * y = clamp(out_zp + ((x * m + 2^(shift-1)) >> shift), -128, 127); with shift 0 nothing is added. x, y: [n]; y must not
 * overlap x.
 */
void tg_narrow_s16(const tg_narrow_s16_cfg_t *cfg, const int16_t *x, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_NARROW_S16_H_INCLUDED */
