/**
 * @file  tg_tile_any_dsp.h
 * @brief Four pixels with windows of any length, without the stack pointer as a pointer to data.
 */
#ifndef TG_TILE_ANY_DSP_H_INCLUDED
#define TG_TILE_ANY_DSP_H_INCLUDED

#include "tg_tile_dsp.h"

#ifdef __cplusplus
extern "C" {
#endif

/** See tg_tile_fn_t. The window [pair][pixel] lies at t->window: 4 * t->pair_bytes. */
void tg_tile_any_dsp(const tg_tile_t *t, const int32_t *w, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_TILE_ANY_DSP_H_INCLUDED */
