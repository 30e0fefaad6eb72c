#include "tg_resize_linear_s8.h"

TG_SHARED void tg_resize_linear_s8(const tg_resize_linear_s8_cfg_t *cfg, const int8_t *x, const uint16_t *ty,
                                   const uint16_t *tx, int8_t *y)
{
    const int32_t channels = cfg->channels;
    for (int32_t r = 0; r < cfg->out_h; ++r) {
        const uint16_t *const v = &ty[3 * r];
        const int8_t *const row0 = &x[v[0] * cfg->in_w * channels];
        const int8_t *const row1 = &x[v[1] * cfg->in_w * channels];
        const int32_t wy = v[2];
        for (int32_t c = 0; c < cfg->out_w; ++c) {
            const uint16_t *const h = &tx[3 * c];
            const int32_t left = h[0] * channels;
            const int32_t right = h[1] * channels;
            const int32_t w11 = wy * h[2];
            const int32_t w10 = (wy * 2048) - w11;
            const int32_t w01 = (2048 * h[2]) - w11;
            const int32_t w00 = (2048 * 2048) - w11 - w10 - w01;
            for (int32_t i = 0; i < channels; ++i) {
                const int32_t acc =
                    (w00 * row0[left + i]) + (w01 * row0[right + i]) + (w10 * row1[left + i]) + (w11 * row1[right + i]);
                /* half-way between two integers, a common place for means of neighbours: to the even one */
                y[i] = (int8_t)((acc + ((1 << 21) - 1) + ((acc >> 22) & 1)) >> 22);
            }
            y += channels;
        }
    }
}
