/**
 * @file  tg_dwconv_s8_mve.h
 * @brief Depthwise 2-D convolution, int8, for cores with Helium. Same bits as tg_dwconv_s8.
 */
#ifndef TG_DWCONV_S8_MVE_H_INCLUDED
#define TG_DWCONV_S8_MVE_H_INCLUDED

#include "tg_dwconv_s8.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Limit: 32 <= shift <= 62, and a plane (below) of at most 9362 bytes. Constants are the reference's.
 *
 * Eight channels at a time are laid out in planes, in which the taps of a window are so near that vectors of 16 bytes
 * hold them: nine of 3 x 3 one vector. The longer axis of the output ("down") lies inside a column of the plane, in
 * strips of four outputs.
 *
 * @param x        [in_h][in_w][in_c]
 * @param w        [k_h][k_w][out_c]
 * @param b        [out_c], zero point folded
 * @param m        [out_c]
 * @param scratch  dwconv_mve_scratch() bytes: weights and planes of eight channels
 * @param y        [out_h][out_w][out_c]; must not overlap x
 */
void tg_dwconv_s8_mve(const tg_dwconv_s8_cfg_t *cfg, const int8_t *x, const int8_t *w, const int32_t *b,
                      const int32_t *m, int16_t *scratch, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_DWCONV_S8_MVE_H_INCLUDED */
