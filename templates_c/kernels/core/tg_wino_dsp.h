/**
 * @file  tg_wino_dsp.h
 * @brief A tile of Winograd's convolution: 4 x 4 pixels, all channels. What the layer's driver tells its kernel.
 */
#ifndef TG_WINO_DSP_H_INCLUDED
#define TG_WINO_DSP_H_INCLUDED

#include <stddef.h>

#include "tg_isa_dsp.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The assembly reads the members by position. */
typedef struct {
    const int8_t *row[6]; /**< six pixels each */
    const int32_t *w;
    const int32_t *m;
    uint32_t *sums; /**< [out_c / 2][4 rows][2 channels][6 positions]; or 0: they are on the stack */
    int8_t *y;      /**< the first of 4 x 4 pixels */
    int32_t in_c;
    int32_t out_c;
    int32_t y_row;  /**< bytes from row to row of y */
    int32_t offset; /**< rounding and zero point: tg_output_dsp_t */
    int32_t frame;  /**< bytes of stack */
} tg_wino_tile_t;

#ifdef __cplusplus
}
#endif

#endif /* TG_WINO_DSP_H_INCLUDED */
