/**
 * @file  tg_dwplane3x3s2_dsp.h
 * @brief Depthwise 3 x 3 convolution of stride 2 on planes, int8, for cores with the DSP extension.
 */
#ifndef TG_DWPLANE3X3S2_DSP_H_INCLUDED
#define TG_DWPLANE3X3S2_DSP_H_INCLUDED

#include "tg_dwplane_dsp.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Same bits as tg_dwconv_s8. Two columns go down the plane together, each row is loaded once: every second row ends the
 * outputs above and starts those below. Needs out_h, out_w >= 1 and at most one row of padding above and below.
 * Constants are packed by kernels/plane/pack.py, pack_dwplane3x3().
 *
 * @param x  planes, see tg_dwplane_cfg_t; three bytes behind the last are read and ignored
 * @param w  [channels][9] words as in tg_dwplane3x3_dsp.h
 * @param y  outputs; must not overlap x
 */
void tg_dwplane3x3s2_dsp(const tg_dwplane_cfg_t *cfg, const int8_t *x, const int32_t *w, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_DWPLANE3X3S2_DSP_H_INCLUDED */
