/**
 * @file  tg_resize_nearest_s16.h
 * @brief Nearest-neighbour resize over H and W, int16; which pixel is in two tables.
 */
#ifndef TG_RESIZE_NEAREST_S16_H_INCLUDED
#define TG_RESIZE_NEAREST_S16_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint16_t in_w;
    uint16_t out_h;
    uint16_t out_w;
    uint16_t channels;
} tg_resize_nearest_s16_cfg_t;

/**
 * y[r][c][:] = x[iy[r]][ix[c]][:]. x: [in_h][in_w][channels]; iy: [out_h]; ix: [out_w]; y must not overlap x.
 */
void tg_resize_nearest_s16(const tg_resize_nearest_s16_cfg_t *cfg, const int16_t *x, const uint16_t *iy,
                           const uint16_t *ix, int16_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_RESIZE_NEAREST_S16_H_INCLUDED */
