/**
 * @file  tg_tile_dsp.h
 * @brief A tile: four output pixels, all channels, two at a time. What the layer's driver tells the tile's kernel.
 *
 * A tile kernel (tg_tile_*_dsp) has `fill` write a window of int16 pairs, then walks the weights once: for two output
 * channels e, o a word holds the raw pairs 256 * w_o + w_e of two taps (kernels/tile/pack.py).
 *
 * Kernels made for a shape keep the window in their stack frame and use the stack pointer as the pointer to it. It
 * stays word-aligned and in the frame, and at every instruction all that is live lies at or above it: what a loop will
 * need below its window is free space of the frame. So interrupts may come at any time, on the same stack. Firmware
 * that forbids it nevertheless (a debugger or an RTOS that inspects the stack pointer of a running task) is built with
 * --plain-stack: tg_tile_any_dsp keeps its window in the arena.
 */
#ifndef TG_TILE_DSP_H_INCLUDED
#define TG_TILE_DSP_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tg_tile tg_tile_t;

/** Writes the window of a tile: pairs of activations as the kernel's steps read them. */
typedef void (*tg_tile_fill_t)(const tg_tile_t *t, int16_t *window);

/** All of a tile: w is the stream of the layer, y the first of its pixels. */
typedef void (*tg_tile_fn_t)(const tg_tile_t *t, const int32_t *w, int8_t *y);

/** The kernels' assembly reads the members down to `window` by position. */
struct tg_tile {
    tg_tile_fill_t fill;
    const int32_t *w_end; /**< end of the stream */
    int32_t offset;       /**< rounding and zero point: tg_output_dsp_t */
    int32_t shift;        /**< of the requantisation, less 32 */
    int32_t y_pixel[3];   /**< bytes from the first pixel's output to those of the others */
    int32_t y_channel;    /**< bytes from channel to channel */
    int32_t pair_bytes;   /**< of the weights of one pair of channels: a looped kernel's end */
    int16_t *window;      /**< of kernels that keep it in scratch, or those of a group */
    /* for the fill */
    const int8_t *x[4]; /**< where the four pixels begin; x[0] alone where they share a window */
    int32_t quads;      /**< whole words of a run of bytes */
    int32_t tail;       /**< bytes behind them, 0..3; tg_fill_*_dsp: bytes from column to column */
    int32_t runs;       /**< runs of a pixel: kernel rows, or taps; at least one */
    int32_t step;       /**< bytes from the end of a run to the start of the next; tg_fill_*_dsp: from row to row */
    /* read by position too, by kernels of groups, and by those whose weights are indices */
    const int16_t *window_end;
    const int32_t *table; /**< what indices stand for */
};

/** A convolution by tiles: tg_tiles_s8_dsp and its relatives. */
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
    int16_t lo; /**< clamp, -128 <= lo <= hi <= 127; narrower than that only with y_channel 1 */
    int16_t hi;
    uint16_t shift;   /**< of the requantisation, 33..54 */
    uint16_t pairs;   /**< of taps in a window: the words of weights of two channels */
    uint16_t apart; /**< 1: the last of an odd number of channels takes a call of the kernel of its own */
    uint16_t window;  /**< bytes of scratch that windows take, of a tile or of a group of them; 0: it is on the stack */
    uint16_t image_h; /**< size of a copy of the image in scratch, with its borders; 0: none, windows at the border */
    uint16_t image_w; /**< are gathered */
    uint16_t rows;    /**< rows of the window that four pixels of a column share, a multiple of 4; 0: they share none */
    uint16_t pixels;  /**< of a tile, 3 or 4 */
    uint16_t swap;    /**< 1: pixels are taken column by column */
    int32_t y_start;  /**< bytes to the first output */
    int32_t y_row;    /**< and from output row to output row, column to column, channel to channel */
    int32_t y_col;
    int32_t y_channel;
    tg_tile_fn_t tile; /**< tg_tile_*_dsp, of windows [pair][pixel], or [row / 4][pair][row % 4] where they share one */
    const int32_t *table; /**< of tg_tile_pal*_dsp: set by tg_tiles_pal_s8_dsp */
} tg_tiles_s8_cfg_t;

#ifdef __cplusplus
}
#endif

#endif /* TG_TILE_DSP_H_INCLUDED */
