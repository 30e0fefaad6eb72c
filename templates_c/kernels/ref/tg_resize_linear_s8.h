/**
 * @file  tg_resize_linear_s8.h
 * @brief Linear resize over H and W, int8; pixels and weights are in two tables.
 */
#ifndef TG_RESIZE_LINEAR_S8_H_INCLUDED
#define TG_RESIZE_LINEAR_S8_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint16_t in_w;
    uint16_t out_h;
    uint16_t out_w;
    uint16_t channels;
} tg_resize_linear_s8_cfg_t;

/**
 * One row of a table is (first, second, weight of the second in 1/2048).
 * x: [in_h][in_w][channels]; ty: [out_h][3]; tx: [out_w][3]; y: [out_h][out_w][channels], must not overlap x.
 */
void tg_resize_linear_s8(const tg_resize_linear_s8_cfg_t *cfg, const int8_t *x, const uint16_t *ty, const uint16_t *tx,
                         int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_RESIZE_LINEAR_S8_H_INCLUDED */
