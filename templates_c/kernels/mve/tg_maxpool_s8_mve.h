/**
 * @file  tg_maxpool_s8_mve.h
 * @brief Max pooling, int8, for cores with Helium. Same bits as tg_maxpool_s8.
 */
#ifndef TG_MAXPOOL_S8_MVE_H_INCLUDED
#define TG_MAXPOOL_S8_MVE_H_INCLUDED

#include "tg_maxpool_s8.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * x: [in_h][in_w][channels]; y: [out_h][out_w][channels], must not overlap x.
 */
void tg_maxpool_s8_mve(const tg_maxpool_s8_cfg_t *cfg, const int8_t *x, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_MAXPOOL_S8_MVE_H_INCLUDED */
