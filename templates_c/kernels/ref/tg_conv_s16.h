/**
 * @file  tg_conv_s16.h
 * @brief 2-D convolution, int16 inputs, any kernel, stride, dilation, padding and number of groups.
 */
#ifndef TG_CONV_S16_H_INCLUDED
#define TG_CONV_S16_H_INCLUDED

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
    int16_t out_zp;
    int16_t lo; /**< clamp, lo <= hi, in the range of y */
    int16_t hi;
    uint16_t shift; /**< of the requantisation, 1..62 */
    uint16_t wide;  /**< 1: y is int16, 0: y is int8 */
} tg_conv_s16_cfg_t;

/**
 * y = clamp(out_zp + requant(b + sum w * x)); taps outside the image count nothing.
 *
 * @param x  [in_h][in_w][in_c]
 * @param w  [out_c][k_h][k_w][in_c / groups]
 * @param b  [out_c] biases
 * @param m  [out_c] multipliers
 * @param y  [out_h][out_w][out_c], of int16 or int8; must not overlap x
 */
void tg_conv_s16(const tg_conv_s16_cfg_t *cfg, const int16_t *x, const int8_t *w, const int32_t *b, const int32_t *m,
                 void *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_CONV_S16_H_INCLUDED */
