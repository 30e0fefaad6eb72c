/**
 * @file  tg_row_dsp.h
 * @brief A row of tiles, all strides in the code of its kernel. What the layer's driver tells it.
 *
 * The kernels keep their window on the stack and point to it with the stack pointer, as those of tg_tile_dsp.h do: all
 * that is live lies at or above it, interrupts may come at any time, --plain-stack avoids them.
 */
#ifndef TG_ROW_DSP_H_INCLUDED
#define TG_ROW_DSP_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The kernels' assembly reads the members by position. */
typedef struct {
    const int32_t *w_end; /**< end of the stream of weights, see tg_tile_dsp.h */
    int32_t offset;       /**< rounding and zero point: tg_output_dsp_t */
    int32_t tiles;        /**< how many tiles of four pixels, at least one */
} tg_row_t;

/** x: the window of the first pixel; w: the stream; y: the first pixel's output. */
typedef void (*tg_row_fn_t)(const tg_row_t *r, const int8_t *x, const int32_t *w, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_ROW_DSP_H_INCLUDED */
