/**
 * @file  tg_dwplane_dsp.h
 * @brief What the depthwise kernels on planes have in common: the shape of a layer, and the last steps of an output.
 */
#ifndef TG_DWPLANE_DSP_H_INCLUDED
#define TG_DWPLANE_DSP_H_INCLUDED

#include "tg_isa_dsp.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * A depthwise layer that reads planes and writes in any order.
 *
 * Element (channel c, row r, column q) of the input is at x[lead + c * plane_stride + r * row_stride + q], lead being
 * the padding on the left. The bytes behind a row are its padding on the right and that of the next row on the left,
 * and hold the zero point. Rows above and below the image do not exist: the packed constants stand for them.
 * Output (r, q) of channel c is y[r * out_row + q * out_col + c * out_chan].
 *
 * "Rows" may as well be the columns of the image: then the kernel's weights and all strides are transposed.
 */
typedef struct {
    uint16_t channels;
    uint16_t in_h; /**< rows of a plane */
    uint16_t out_h;
    uint16_t out_w;
    uint16_t pad_top; /**< rows above the image, 0 or 1; whether there is one below follows from in_h and out_h */
    uint16_t row_stride;
    uint16_t out_row; /**< bytes, like all strides */
    uint16_t out_col;
    uint16_t out_chan;
    int16_t lo; /**< clamp, -128 <= lo <= hi <= 127 */
    int16_t hi;
    int32_t plane_stride;
} tg_dwplane_cfg_t;

/** clamp(zp + requant(acc)); `zp` is the low half of a word whose high half is a weight, so only low halves count. */
static TG_INLINE int8_t tg_dwplane_requant(int32_t acc, int32_t m, uint32_t zp)
{
    const int64_t product = (int64_t)acc * m;
    const uint32_t sum = (uint32_t)((product + ((int64_t)1 << 31)) >> 32) + zp;
    return (int8_t)tg_ssat8((int16_t)(uint16_t)(sum & 0xFFFFU));
}

/** Clamp to bounds inside -128..127: rare, a rectifier ends at -128 in nearly every network. */
static TG_INLINE void tg_dwplane_clamp(const tg_dwplane_cfg_t *cfg, int8_t *y)
{
    if ((cfg->lo > -128) || (cfg->hi < 127)) {
        for (int32_t c = 0; c < cfg->channels; ++c) {
            for (int32_t r = 0; r < cfg->out_h; ++r) {
                int8_t *v = &y[(c * cfg->out_chan) + (r * cfg->out_row)];
                for (int32_t q = cfg->out_w; q > 0; --q) {
                    const int32_t t = (*v < cfg->lo) ? cfg->lo : *v;
                    *v = (int8_t)((t > cfg->hi) ? cfg->hi : t);
                    v += cfg->out_col;
                }
            }
        }
    }
}

/** The 3 x 3 kernels in plain C, where there is no assembly: one output after the other. */
static TG_INLINE void tg_dwplane3x3_plain(const tg_dwplane_cfg_t *cfg, int32_t stride, const int8_t *x,
                                          const int32_t *w, int8_t *y)
{
    for (int32_t c = 0; c < cfg->channels; ++c) {
        const uint32_t middle[3] = {(uint32_t)w[4], (uint32_t)w[4] >> 16, (uint32_t)w[5] >> 16};
        for (int32_t r = 0; r < cfg->out_h; ++r) {
            const int32_t row = (r * stride) - cfg->pad_top; /* the first of three, which may lie above the image */
            const int32_t first = (row < 0) ? 1 : 0;
            const int32_t end = ((row + 3) > cfg->in_h) ? 2 : 3;
            const int32_t bias = ((first != 0) ? w[7] : w[6]) + ((end == 2) ? (w[8] - w[6]) : 0);
            const int8_t *v = &x[(row + first) * cfg->row_stride];
            int8_t *out = &y[r * cfg->out_row];
            for (int32_t q = cfg->out_w; q > 0; --q) {
                int32_t acc = bias;
                for (int32_t k = first; k < end; ++k) {
                    const uint32_t four = tg_load32(&v[(k - first) * cfg->row_stride]);
                    acc = tg_smlad(tg_sxtb16(four), (uint32_t)w[1 + k], acc);
                    acc = tg_smlabb(tg_sxtb16_ror8(four), middle[k], acc);
                }
                *out = tg_dwplane_requant(acc, w[0], (uint32_t)w[5]);
                out += cfg->out_col;
                v += stride;
            }
        }
        x += cfg->plane_stride;
        y += cfg->out_chan;
        w += 9;
    }
}

#ifdef __cplusplus
}
#endif

#endif /* TG_DWPLANE_DSP_H_INCLUDED */
