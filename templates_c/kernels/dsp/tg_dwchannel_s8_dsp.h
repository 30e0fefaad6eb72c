/**
 * @file  tg_dwchannel_s8_dsp.h
 * @brief Depthwise 2-D convolution, int8, one input channel after the other. DSP extension. Same bits as tg_dwconv_s8.
 */
#ifndef TG_DWCHANNEL_S8_DSP_H_INCLUDED
#define TG_DWCHANNEL_S8_DSP_H_INCLUDED

#include "tg_dwplane_dsp.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A kernel on planes: tg_dwplane*_dsp, tg_dwrow*_dsp. */
typedef void (*tg_dwplane_fn_t)(const tg_dwplane_cfg_t *cfg, const int8_t *x, const int32_t *w, int8_t *y);

typedef struct {
    uint16_t in_c;
    uint16_t rows; /**< of a plane; they are columns of the image where the planes are transposed */
    uint16_t cols;
    int16_t in_zp;
    uint16_t lead;      /**< bytes before the first element of a plane */
    uint16_t words;     /**< constants of an input channel */
    int32_t x_channel;  /**< bytes from input channel to input channel */
    int32_t x_row;      /**< and, where a channel is copied, from row to row of a plane, */
    int32_t x_col;      /**< from column to column; 0: the channels of x are planes already */
    int32_t size;       /**< bytes of the copy */
    tg_dwplane_fn_t kernel;
    tg_dwplane_cfg_t plane; /**< the layer of one input channel, with a plane_stride of 0: its outputs read one plane */
} tg_dwchannel_s8_cfg_t;

/**
 * Output channel c reads input channel c / plane.channels. A channel that is no plane is copied into one.
 *
 * @param x        [in_h][in_w][in_c], or planes
 * @param w        constants of the kernel, for all output channels
 * @param scratch  the copy of a channel: `size` bytes
 * @param y        outputs; must not overlap x
 */
void tg_dwchannel_s8_dsp(const tg_dwchannel_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, int16_t *scratch,
                         int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_DWCHANNEL_S8_DSP_H_INCLUDED */
