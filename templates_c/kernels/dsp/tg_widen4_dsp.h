/**
 * @file  tg_widen4_dsp.h
 * @brief The window of four pixels that share nothing: pairs of int16, [pair][pixel].
 */
#ifndef TG_WIDEN4_DSP_H_INCLUDED
#define TG_WIDEN4_DSP_H_INCLUDED

#include "tg_tile_dsp.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Each run becomes, for four bytes, the pairs (0, 2) and (1, 3); then (0, 1) of two bytes left, then (0, anything) of
 * one: the other half meets a weight of 0.
 *
 * @param t       x, quads, tail, runs (>= 1), step
 * @param window  [pairs][4][2], word-aligned
 */
void tg_widen4_dsp(const tg_tile_t *t, int16_t *window);

#ifdef __cplusplus
}
#endif

#endif /* TG_WIDEN4_DSP_H_INCLUDED */
