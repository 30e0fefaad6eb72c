/**
 * @file  tg_avgpool_s8_mve.h
 * @brief Average pooling, int8, for cores with Helium. Same bits as tg_avgpool_s8.
 */
#ifndef TG_AVGPOOL_S8_MVE_H_INCLUDED
#define TG_AVGPOOL_S8_MVE_H_INCLUDED

#include "tg_avgpool_s8.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Limit: 32 <= shift <= 62. x: [in_h][in_w][channels]; m: [k_h * k_w] or [1]; y: [out_h][out_w][channels], must not
 * overlap x.
 */
void tg_avgpool_s8_mve(const tg_avgpool_s8_cfg_t *cfg, const int8_t *x, const int32_t *m, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_AVGPOOL_S8_MVE_H_INCLUDED */
