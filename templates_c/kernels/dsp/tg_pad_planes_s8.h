/**
 * @file  tg_pad_planes_s8.h
 * @brief The bytes of planes that are no elements (tinygen/plan/planar.py).
 */
#ifndef TG_PAD_PLANES_S8_H_INCLUDED
#define TG_PAD_PLANES_S8_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t count; /**< rows of all planes */
    uint16_t lead;  /**< bytes before the first row */
    uint16_t cols;  /**< elements of a row */
    uint16_t stride;
    int16_t zp;
} tg_pad_planes_s8_cfg_t;

/** y = zp before the first row and behind each row's elements. */
void tg_pad_planes_s8(const tg_pad_planes_s8_cfg_t *cfg, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_PAD_PLANES_S8_H_INCLUDED */
