/**
 * @file  tg_conv_s8.h
 * @brief 2-D convolution, int8, any kernel, stride, dilation, padding and number of groups.
 */
#ifndef TG_CONV_S8_H_INCLUDED
#define TG_CONV_S8_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint16_t in_h;
    uint16_t in_w;
    uint16_t in_c;
    uint16_t out_h;
    uint16_t out_w;
    uint16_t out_c;
    uint16_t k_h;
    uint16_t k_w;
    uint16_t stride_h;
    uint16_t stride_w;
    uint16_t dil_h;
    uint16_t dil_w;
    uint16_t pad_top;
    uint16_t pad_left;
    uint16_t groups;
    int16_t in_zp;
    int16_t out_zp;
    int16_t lo; /**< clamp, -128 <= lo <= hi <= 127 */
    int16_t hi;
    uint16_t shift; /**< of the requantisation, 1..62 */
} tg_conv_s8_cfg_t;

/**
 * y = clamp(out_zp + requant(b' + sum w * x)): taps outside the image read in_zp.
 *
 * @param x  [in_h][in_w][in_c]
 * @param w  [out_c][k_h][k_w][in_c / groups]
 * @param b  [out_c] with the zero point folded: bias - in_zp * sum of the channel's weights
 * @param m  [out_c] multipliers
 * @param y  [out_h][out_w][out_c]; must not overlap x
 */
void tg_conv_s8(const tg_conv_s8_cfg_t *cfg, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *m,
                int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_CONV_S8_H_INCLUDED */
