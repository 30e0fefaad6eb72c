/**
 * @file  tg_avgpool_s8.h
 * @brief Average pooling, int8.
 */
#ifndef TG_AVGPOOL_S8_H_INCLUDED
#define TG_AVGPOOL_S8_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint16_t in_h;
    uint16_t in_w;
    uint16_t channels;
    uint16_t out_h;
    uint16_t out_w;
    uint16_t k_h;
    uint16_t k_w;
    uint16_t stride_h;
    uint16_t stride_w;
    uint16_t dil_h;
    uint16_t dil_w;
    uint16_t pad_top;
    uint16_t pad_left;
    int16_t in_zp;
    int16_t out_zp;
    uint16_t shift;  /**< 1..62 */
    uint16_t m_step; /**< 1: one multiplier for each number of taps; 0: one for all */
    uint32_t even;   /**< x and y share a scale, halves go to even: the divisor (with m_step: any); else 0 */
} tg_avgpool_s8_cfg_t;

/**
 * y = clamp(out_zp + requant(sum over the taps inside the image of (x - in_zp), m[(taps - 1) * m_step]), -128, 127).
 * x: [in_h][in_w][channels]; m: [k_h * k_w] or [1]; y: [out_h][out_w][channels], must not overlap x.
 */
void tg_avgpool_s8(const tg_avgpool_s8_cfg_t *cfg, const int8_t *x, const int32_t *m, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_AVGPOOL_S8_H_INCLUDED */
