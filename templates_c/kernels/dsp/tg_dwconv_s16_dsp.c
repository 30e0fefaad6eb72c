#include "tg_dwconv_s16_dsp.h"

#include "tg_epilogue_s16_dsp.h"
#include "tg_window.h"

/** The taps inside the image: how many, and from one to the next in the image and in the weights. */
typedef struct {
    int32_t rows;
    int32_t cols;
    int32_t x_tap;
    int32_t x_row;
    int32_t w_row;
} tg_taps16_t;

/** Four channels. */
typedef struct {
    int32_t c, d, e, f;
} tg_acc4_t;

static TG_INLINE void tg_dwconv_tap(tg_acc4_t *s, const int16_t *x, uint32_t w)
{
    const uint32_t cd = tg_load32(x);
    const uint32_t ef = tg_load32(&x[2]);
    const uint32_t ce = tg_sxtb16(w);
    const uint32_t df = tg_sxtb16_ror8(w);
    s->c = tg_smlabb(cd, ce, s->c);
    s->d = tg_smlatb(cd, df, s->d);
    s->e = tg_smlabt(ef, ce, s->e);
    s->f = tg_smlatt(ef, df, s->f);
    TG_STAY();
}

/** Three taps of one row, `tap` bytes apart. */
static TG_INLINE void tg_dwconv_row3(tg_acc4_t *s, const int16_t *x, int32_t tap, const int32_t *w)
{
#if TG_DSP_ASM
    uint32_t cd;
    uint32_t ef;
    uint32_t ce;
    uint32_t df;
    __asm__("ldr %[cd], [%[x]]\n\t" /* loads in groups, which compilers do not make */
            "ldr %[ef], [%[x], #4]\n\t"
            "ldr %[ce], [%[w]]\n\t"
            "add %[x], %[x], %[tap]\n\t"
            "sxtb16 %[df], %[ce], ror #8\n\t"
            "sxtb16 %[ce], %[ce]\n\t"
            "smlabb %[c], %[cd], %[ce], %[c]\n\t"
            "smlatb %[d], %[cd], %[df], %[d]\n\t"
            "smlabt %[e], %[ef], %[ce], %[e]\n\t"
            "smlatt %[f], %[ef], %[df], %[f]\n\t"
            "ldr %[cd], [%[x]]\n\t"
            "ldr %[ef], [%[x], #4]\n\t"
            "ldr %[ce], [%[w], #4]\n\t"
            "add %[x], %[x], %[tap]\n\t"
            "sxtb16 %[df], %[ce], ror #8\n\t"
            "sxtb16 %[ce], %[ce]\n\t"
            "smlabb %[c], %[cd], %[ce], %[c]\n\t"
            "smlatb %[d], %[cd], %[df], %[d]\n\t"
            "smlabt %[e], %[ef], %[ce], %[e]\n\t"
            "smlatt %[f], %[ef], %[df], %[f]\n\t"
            "ldr %[cd], [%[x]]\n\t"
            "ldr %[ef], [%[x], #4]\n\t"
            "ldr %[ce], [%[w], #8]\n\t"
            "sxtb16 %[df], %[ce], ror #8\n\t"
            "sxtb16 %[ce], %[ce]\n\t"
            "smlabb %[c], %[cd], %[ce], %[c]\n\t"
            "smlatb %[d], %[cd], %[df], %[d]\n\t"
            "smlabt %[e], %[ef], %[ce], %[e]\n\t"
            "smlatt %[f], %[ef], %[df], %[f]"
            : [c] "+r"(s->c), [d] "+r"(s->d), [e] "+r"(s->e), [f] "+r"(s->f), [x] "+r"(x), [cd] "=&r"(cd),
              [ef] "=&r"(ef), [ce] "=&r"(ce), [df] "=&r"(df)
            : [w] "r"(w), [tap] "r"(tap)
            : "memory");
#else
    tg_dwconv_tap(s, x, (uint32_t)w[0]);
    tg_dwconv_tap(s, &x[tap / 2], (uint32_t)w[1]);
    tg_dwconv_tap(s, &x[tap], (uint32_t)w[2]);
#endif
}

/** Outputs i..i + 3. */
static TG_INLINE void tg_dwconv_put(const tg_output16_dsp_t *o, const tg_acc4_t *s, const int32_t *m, void *y,
                                    int32_t i)
{
    const int32_t m1 = m[1];
    const int32_t m2 = m[2];
    const int32_t m3 = m[3];
    tg_put_s16_dsp(o, s->c, m[0], y, i);
    tg_put_s16_dsp(o, s->d, m1, y, i + 1);
    tg_put_s16_dsp(o, s->e, m2, y, i + 2);
    tg_put_s16_dsp(o, s->f, m3, y, i + 3);
}

/** 4 * blocks channels of one pixel, kernels of three columns; `block` words of weights for each four channels. */
static TG_NOINLINE void tg_dwconv_three(const tg_output16_dsp_t *out, const tg_taps16_t *t, const int16_t *x,
                                        const int32_t *w, int32_t block, const int32_t *b, const int32_t *m,
                                        int32_t blocks, void *y, int32_t at)
{
    const tg_output16_dsp_t o = *out; /* read before the first store, which might alias it */
    const int32_t tap = 2 * t->x_tap;
    for (int32_t i = 0; i < (4 * blocks); i += 4) {
        const int16_t *v = &x[i];
        const int32_t *k = w;
        tg_acc4_t s = {b[i], b[i + 1], b[i + 2], b[i + 3]};
        for (int32_t r = t->rows; r > 0; --r) {
            tg_dwconv_row3(&s, v, tap, k);
            v += t->x_row;
            k += 3;
        }
        tg_dwconv_put(&o, &s, &m[i], y, at + i);
        w += block;
    }
}

/** The same for any taps; w: the weights of the first tap inside. */
static TG_NOINLINE void tg_dwconv_any(const tg_output16_dsp_t *out, const tg_taps16_t *t, const int16_t *x,
                                      const int32_t *w, int32_t block, const int32_t *b, const int32_t *m,
                                      int32_t blocks, void *y, int32_t at)
{
    const tg_output16_dsp_t o = *out;
    const int32_t *const end = &b[4 * blocks];
    while (b != end) {
        const int16_t *x_row = x;
        const int32_t *w_row = w;
        tg_acc4_t s = {b[0], b[1], b[2], b[3]};
        for (int32_t r = t->rows; r > 0; --r) {
            const int16_t *v = x_row;
            for (int32_t i = 0; i < t->cols; ++i) {
                tg_dwconv_tap(&s, v, (uint32_t)w_row[i]);
                v += t->x_tap;
            }
            x_row += t->x_row;
            w_row += t->w_row;
        }
        tg_dwconv_put(&o, &s, m, y, at);
        x += 4;
        w += block;
        b += 4;
        m += 4;
        at += 4;
    }
}

/** 4 * blocks channels of one pixel, from channel c on; x and w at the first tap inside. */
static inline void tg_dwconv_blocks(const tg_dwconv_s16_cfg_t *cfg, const tg_output16_dsp_t *o, const tg_taps16_t *t,
                                    const int16_t *x, const int32_t *w, const int32_t *b, const int32_t *m, int32_t c,
                                    int32_t blocks, void *y, int32_t at)
{
    const int32_t block = cfg->k_h * cfg->k_w;
    if ((t->cols == 3) && (t->w_row == 3)) {
        tg_dwconv_three(o, t, &x[c], w, block, &b[c], &m[c], blocks, y, at + c);
    } else {
        tg_dwconv_any(o, t, &x[c], w, block, &b[c], &m[c], blocks, y, at + c);
    }
}

TG_SHARED void tg_dwconv_s16_dsp(const tg_dwconv_s16_cfg_t *cfg, const int16_t *x, const int32_t *w, const int32_t *b,
                                 const int32_t *m, void *y)
{
    const tg_output16_dsp_t o = tg_output16_dsp(cfg->shift, cfg->out_zp, cfg->lo, cfg->hi, cfg->wide);
    const int32_t channels = cfg->out_c;
    const int32_t blocks = channels / 4;
    tg_taps16_t t = {0, 0, cfg->dil_w * channels, cfg->dil_h * cfg->in_w * channels, cfg->k_w};
    int32_t at = 0;
    for (int32_t oy = 0; oy < cfg->out_h; ++oy) {
        const int32_t iy = (oy * cfg->stride_h) - cfg->pad_top;
        const tg_taps_t ky = tg_taps_inside(iy, cfg->in_h, cfg->k_h, cfg->dil_h);
        for (int32_t ox = 0; ox < cfg->out_w; ++ox) {
            const int32_t ix = (ox * cfg->stride_w) - cfg->pad_left;
            const tg_taps_t kx = tg_taps_inside(ix, cfg->in_w, cfg->k_w, cfg->dil_w);
            const int16_t *const taps =
                &x[(((iy * cfg->in_w) + ix) * channels) + (ky.first * t.x_row) + (kx.first * t.x_tap)];
            const int32_t *const words = &w[(ky.first * t.w_row) + kx.first];
            t.cols = kx.end - kx.first;
            t.rows = ky.end - ky.first;
            tg_dwconv_blocks(cfg, &o, &t, taps, words, b, m, 0, blocks, y, at);
            if ((channels % 4) != 0) { /* the last four end where the pixel ends, and overlap those before */
                tg_dwconv_blocks(cfg, &o, &t, taps, &words[blocks * cfg->k_h * cfg->k_w], b, m, channels - 4, 1, y, at);
            }
            at += channels;
        }
    }
    if (o.limited != 0) {
        tg_limit_s16_dsp(&o, y, 0, at);
    }
}
