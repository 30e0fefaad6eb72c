/**
 * @file  tg_conv3x3_wino_dsp.h
 * @brief 3x3 convolution of stride 1, int8, by integer Winograd F(4,3) along x. DSP extension. Same bits as tg_conv_s8.
 */
#ifndef TG_CONV3X3_WINO_DSP_H_INCLUDED
#define TG_CONV3X3_WINO_DSP_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint16_t in_h;
    uint16_t in_w;
    uint16_t in_c;  /**< a multiple of 8, at most 64 */
    uint16_t out_h; /**< at least 4 */
    uint16_t out_w; /**< at least 4 */
    uint16_t out_c; /**< even */
    uint16_t pad_top;
    uint16_t pad_left;
    int16_t in_zp;
    int16_t out_zp;
    int16_t lo; /**< clamp, -128 <= lo <= hi <= 127 */
    int16_t hi;
} tg_conv3x3_wino_cfg_t;

/**
 * y = clamp(out_zp + requant(b' + sum w * x)): taps outside the image read in_zp; at most one row and one column are
 * outside at each side.
 *
 * Half the multiplications of the direct sum: six products serve four outputs of a row. All sums are of 24 times the
 * accumulator, in which every division of Winograd's transforms is exact, and modulo 2^32, so that only the result has
 * to fit; the multipliers are a 24th. A tile is 4 x 4 pixels, all channels.
 *
 * Stack: 768 + 72 * in_c bytes and the registers, and the sums, 96 * out_c bytes, where both together take no more than
 * 64 channels do alone, 4608 bytes. On the core SP itself walks over the transformed activations, so those it has
 * passed are open to interrupts: they are either read no more, or kept 768 bytes away.
 *
 * @param x        [in_h][in_w][in_c]
 * @param w        [6][out_c / 2] runs of 2 + 3 * in_c words (pack_wino() of kernels/wino/pack.py)
 * @param m        [out_c] multipliers for 24 times the accumulator and a shift of 40
 * @param scratch  max(36 * in_c, 96 * out_c if the sums are not on the stack) bytes, word-aligned
 * @param y        [out_h][out_w][out_c]; must not overlap x
 */
void tg_conv3x3_wino_dsp(const tg_conv3x3_wino_cfg_t *cfg, const int8_t *x, const int32_t *w, const int32_t *m,
                         int16_t *scratch, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_CONV3X3_WINO_DSP_H_INCLUDED */
