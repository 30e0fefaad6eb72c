#include "tg_maxpool_s8_mve.h"

#include "tg_isa_mve.h"
#include "tg_window.h"

/** The taps of a window that lie inside the image; steps in bytes. */
typedef struct {
    int32_t rows;
    int32_t cols;
    int32_t x_step;
    int32_t x_row;
} tg_taps_mve_t;

/** The largest of every channel over one window. */
static TG_NOINLINE void tg_maxpool_window(const tg_taps_mve_t *t, const int8_t *x, int32_t channels, int8_t *y)
{
#if TG_MVE
    for (int32_t c = 0; c < channels; c += 16) {
        const int8_t *row = &x[c];
        int32_t rows = t->rows;
        int32_t v = channels - c;
        __asm__ volatile("vctp.8 %[v]\n"
                         "vmov.i8 q0, #0x80\n"
                         "1: mov %[v], %[row]\n"
                         "dls lr, %[cols]\n"
                         "2: vpst\n"
                         "vldrbt.8 q1, [%[v]]\n"
                         "vmax.s8 q0, q0, q1\n"
                         "add %[v], %[v], %[x_step]\n"
                         "le lr, 2b\n"
                         "add %[row], %[row], %[x_row]\n"
                         "subs %[rows], %[rows], #1\n"
                         "bne 1b\n"
                         "vpst\n"
                         "vstrbt.8 q0, [%[y]]\n"
                         : [row] "+r"(row), [rows] "+r"(rows), [v] "+r"(v)
                         : [cols] "r"(t->cols), [x_step] "r"(t->x_step), [x_row] "r"(t->x_row), [y] "r"(&y[c])
                         : "lr", "q0", "q1", "cc", "memory");
    }
#else
    for (int32_t c = 0; c < channels; ++c) {
        int8_t best = -128;
        for (int32_t i = 0; i < (t->rows * t->cols); ++i) {
            const int8_t v = x[((i / t->cols) * t->x_row) + ((i % t->cols) * t->x_step) + c];
            best = (v > best) ? v : best;
        }
        y[c] = best;
    }
#endif
}

TG_SHARED void tg_maxpool_s8_mve(const tg_maxpool_s8_cfg_t *cfg, const int8_t *x, int8_t *y)
{
    const int32_t channels = cfg->channels;
    tg_taps_mve_t t = {0, 0, cfg->dil_w * channels, cfg->dil_h * cfg->in_w * channels};
    for (int32_t oy = 0; oy < cfg->out_h; ++oy) {
        const int32_t iy = (oy * cfg->stride_h) - cfg->pad_top;
        const tg_taps_t ky = tg_taps_inside(iy, cfg->in_h, cfg->k_h, cfg->dil_h);
        t.rows = ky.end - ky.first;
        for (int32_t ox = 0; ox < cfg->out_w; ++ox) {
            const int32_t ix = (ox * cfg->stride_w) - cfg->pad_left;
            const tg_taps_t kx = tg_taps_inside(ix, cfg->in_w, cfg->k_w, cfg->dil_w);
            t.cols = kx.end - kx.first;
            if ((t.rows > 0) && (t.cols > 0)) {
                const int32_t first =
                    (((iy * cfg->in_w) + ix) * channels) + (ky.first * t.x_row) + (kx.first * t.x_step);
                tg_maxpool_window(&t, &x[first], channels, y);
            } else {
                tg_fill_mve(y, -128, channels);
            }
            y += channels;
        }
    }
}
