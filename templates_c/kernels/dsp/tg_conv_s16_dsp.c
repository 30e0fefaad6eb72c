#include "tg_conv_s16_dsp.h"

#include "tg_epilogue_s16_dsp.h"
#include "tg_window.h"

/** The channels of two pixels, four at a time; the assembly knows the order of the members. */
typedef struct {
    int32_t blocks; /**< of four channels, at least one; counted down */
    int32_t size;   /**< bytes of a block's weights */
    const int32_t *b;
    const int32_t *m;
    void *y0;
    void *y1; /**< may be y0 */
    int32_t offset;
    uint32_t shift;
    int32_t kind; /**< TG_BYTES, ... */
} tg_job16_t;

#if TG_DSP_ASM

/* Registers: r0 window, r1 weights; r2, r3 a pair of values of each pixel; r4-r11 the sums; r12 a word of weights, lr
 * those of one channel. sp: the job, the window, the end of the block's weights. */
#define TG_PAIR(x, w)                                                                                                  \
    "ldr r2, [r0, #" x "]\n"                                                                                           \
    "ldr r3, [r0, #" x " + 4]\n"                                                                                       \
    "ldr r12, [r1, #" w "]\n"                                                                                          \
    "sxtb16 lr, r12\n"                                                                                                 \
    "sxtb16 r12, r12, ror #8\n"                                                                                        \
    "smlad r4, lr, r2, r4\n"                                                                                           \
    "smlad r5, lr, r3, r5\n"                                                                                           \
    "smlad r6, r12, r2, r6\n"                                                                                          \
    "smlad r7, r12, r3, r7\n"                                                                                          \
    "ldr r12, [r1, #" w " + 4]\n"                                                                                      \
    "sxtb16 lr, r12\n"                                                                                                 \
    "sxtb16 r12, r12, ror #8\n"                                                                                        \
    "smlad r8, lr, r2, r8\n"                                                                                           \
    "smlad r9, lr, r3, r9\n"                                                                                           \
    "smlad r10, r12, r2, r10\n"                                                                                        \
    "smlad r11, r12, r3, r11\n"
#define TG_EIGHT(before, after)                                                                                        \
    before "r4" after "r4\n" before "r5" after "r5\n" before "r6" after "r6\n" before "r7" after "r7\n" before         \
           "r8" after "r8\n" before "r9" after "r9\n" before "r10" after "r10\n" before "r11" after "r11\n"

/* the assembly reads the parameters */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Woverlength-strings"

/** All blocks of a job. window: [pairs][pixel][2]; w: [blocks][pairs][2], pairs even. */
static TG_NOINLINE TG_NAKED void tg_conv_blocks(tg_job16_t *job, const int16_t *window, const int32_t *w)
{
    __asm__ volatile(
        ".syntax unified\n"
        "push {r0, r1, r3-r11, lr}\n"
        "mov r1, r2\n"
        "1:\n"
        "ldr lr, [sp]\n"
        "ldr r0, [sp, #4]\n"
        "ldrd r2, r3, [lr, #4]\n" /* size, b */
        "add r12, r1, r2\n"
        "str r12, [sp, #8]\n"
        "ldm r3!, {r4, r6, r8, r10}\n"
        "str r3, [lr, #8]\n"
        "mov r5, r4\n"
        "mov r7, r6\n"
        "mov r9, r8\n"
        "mov r11, r10\n"
        "ands r2, r2, #16\n"
        "itt ne\n" /* an odd number of halves of the loop: begin with the second */
        "subne r0, r0, #16\n"
        "subne r1, r1, #16\n"
        "bne 3f\n"
        "2:\n" TG_PAIR("0", "0") TG_PAIR("8", "8") "3:\n" TG_PAIR("16", "16") TG_PAIR(
            "24", "24") "ldr r12, [sp, #8]\n"
                        "add r0, r0, #32\n"
                        "add r1, r1, #32\n"
                        "cmp r1, r12\n"
                        "bne 2b\n"
                        "ldr lr, [sp]\n"
                        "ldr r12, [lr, #12]\n" /* m */
                        "ldr r0, [lr, #24]\n"  /* offset */
                        "ldm r12!, {r2, r3}\n"
                        "smmla r4, r4, r2, r0\n"
                        "smmla r5, r5, r2, r0\n"
                        "smmla r6, r6, r3, r0\n"
                        "smmla r7, r7, r3, r0\n"
                        "ldm r12!, {r2, r3}\n"
                        "smmla r8, r8, r2, r0\n"
                        "smmla r9, r9, r2, r0\n"
                        "smmla r10, r10, r3, r0\n"
                        "smmla r11, r11, r3, r0\n"
                        "str r12, [lr, #12]\n"
                        "ldrd r2, r0, [lr, #28]\n"  /* shift, kind */
                        "ldrd r3, r12, [lr, #16]\n" /* y0, y1 */
                        "asr r4, r4, r2\n"
                        "asr r5, r5, r2\n"
                        "asr r6, r6, r2\n"
                        "asr r7, r7, r2\n"
                        "asr r8, r8, r2\n"
                        "asr r9, r9, r2\n"
                        "asr r10, r10, r2\n"
                        "asr r11, r11, r2\n"
                        "cmp r0, #1\n"
                        "blt 6f\n"
                        "bgt 4f\n" TG_EIGHT(
                            "ssat ", ", #16, ") "b 5f\n"
                                                "4:\n" TG_EIGHT("usat ",
                                                                ", #15, ") "5:\n"
                                                                           "pkhbt r4, r4, r6, lsl #16\n"
                                                                           "pkhbt r8, r8, r10, lsl #16\n"
                                                                           "pkhbt r5, r5, r7, lsl #16\n"
                                                                           "pkhbt r9, r9, r11, lsl #16\n"
                                                                           "str r4, [r3], #4\n"
                                                                           "str r8, [r3], #4\n"
                                                                           "str r5, [r12], #4\n"
                                                                           "str r9, [r12], #4\n"
                                                                           "b 7f\n"
                                                                           "6:\n" TG_EIGHT(
                                                                               "ssat ",
                                                                               ", #8, ") "strb r4, [r3], #1\n"
                                                                                         "strb r6, [r3], #1\n"
                                                                                         "strb r8, [r3], #1\n"
                                                                                         "strb r10, [r3], #1\n"
                                                                                         "strb r5, [r12], #1\n"
                                                                                         "strb r7, [r12], #1\n"
                                                                                         "strb r9, [r12], #1\n"
                                                                                         "strb r11, [r12], #1\n"
                                                                                         "7:\n"
                                                                                         "strd r3, r12, [lr, #16]\n"
                                                                                         "ldr r0, [lr]\n"
                                                                                         "subs r0, r0, #1\n"
                                                                                         "str r0, [lr]\n"
                                                                                         "bne 1b\n"
                                                                                         "pop {r0, r1, r3-r11, pc}\n");
}

#pragma GCC diagnostic pop

#else

static void tg_conv_blocks(tg_job16_t *job, const int16_t *window, const int32_t *w)
{
    const int32_t pairs = job->size / 8;
    const tg_output16_dsp_t o = {job->offset, job->shift, job->kind, 0, 0, 0};
    for (int32_t c = 0; c < (4 * job->blocks); c += 2) {
        const int32_t *v = &w[((c / 4) * 2 * pairs) + ((c / 2) % 2)];
        int32_t acc[4] = {job->b[c], job->b[c], job->b[c + 1], job->b[c + 1]};
        for (int32_t i = 0; i < pairs; ++i) {
            for (int32_t pixel = 0; pixel < 2; ++pixel) {
                const uint32_t x = tg_load32(&window[(4 * i) + (2 * pixel)]);
                acc[pixel] = tg_smlad(tg_sxtb16((uint32_t)v[2 * i]), x, acc[pixel]);
                acc[2 + pixel] = tg_smlad(tg_sxtb16_ror8((uint32_t)v[2 * i]), x, acc[2 + pixel]);
            }
        }
        tg_put_s16_dsp(&o, acc[0], job->m[c], job->y0, c);
        tg_put_s16_dsp(&o, acc[1], job->m[c], job->y1, c);
        tg_put_s16_dsp(&o, acc[2], job->m[c + 1], job->y0, c + 1);
        tg_put_s16_dsp(&o, acc[3], job->m[c + 1], job->y1, c + 1);
    }
}

#endif

/** The layer, with what its pixels share worked out once. */
typedef struct {
    const tg_conv_s16_cfg_t *cfg;
    const int16_t *x;
    int32_t cols; /**< taps of one run: a kernel row, or one when the kernel is dilated */
    int32_t run;  /**< values of one run */
    int32_t step; /**< from run to run, in columns of the image */
} tg_layer16_t;

/** `rows` runs of n values, `step` apart, as pairs: to every other word of dst, those between are the other pixel's. */
static TG_NOINLINE int16_t *tg_conv_runs(const int16_t *x, int32_t n, int32_t rows, int32_t step, int16_t *dst)
{
    for (; rows > 0; --rows) {
        const int16_t *v = x;
        const int16_t *const end8 = &x[n & ~7];
        const int16_t *const end = &x[n & ~1];
        while (v != end8) {
            const uint32_t p0 = tg_load32(v);
            const uint32_t p1 = tg_load32(&v[2]);
            const uint32_t p2 = tg_load32(&v[4]);
            const uint32_t p3 = tg_load32(&v[6]);
            TG_STAY();
            tg_store32(dst, p0);
            tg_store32(&dst[4], p1);
            tg_store32(&dst[8], p2);
            tg_store32(&dst[12], p3);
            v += 8;
            dst += 16;
        }
        while (v != end) {
            tg_store32(dst, tg_load32(v));
            v += 2;
            dst += 4;
        }
        if ((n & 1) != 0) {
            tg_store32(dst, (uint32_t)*v & 0xFFFFU); /* the other half meets a weight of 0 */
            dst += 4;
        }
        x += step;
    }
    return dst;
}

/** A run at the border: values from..to - 1 lie inside, with x the first of the run; zeros around them. */
static TG_NOINLINE int16_t *tg_conv_cut(const int16_t *x, int32_t n, int32_t from, int32_t to, int16_t *dst)
{
    for (int32_t i = 0; i < n; i += 2) {
        dst[0] = ((i >= from) && (i < to)) ? x[i] : 0;
        dst[1] = (((i + 1) >= from) && ((i + 1) < to)) ? x[i + 1] : 0;
        dst += 4;
    }
    return dst;
}

/** The window of a pixel that is not wholly inside the image, or of a dilated kernel. */
static TG_NOINLINE void tg_conv_border(const tg_layer16_t *l, int32_t iy, int32_t ix, int16_t *dst)
{
    const tg_conv_s16_cfg_t *const cfg = l->cfg;
    const int32_t in_c = cfg->in_c;
    const int32_t x_end = ix + (cfg->k_w * cfg->dil_w);
    const tg_taps_t none = {0, 0};
    for (int32_t ky = 0; ky < cfg->k_h; ++ky) {
        for (int32_t col = ix; col < x_end; col += l->step) {
            const int16_t *const run = &l->x[((iy * cfg->in_w) + col) * in_c];
            const tg_taps_t t = ((uint32_t)iy < cfg->in_h) ? tg_taps_inside(col, cfg->in_w, l->cols, 1) : none;
            if ((t.end - t.first) == l->cols) {
                dst = tg_conv_runs(run, l->run, 1, 0, dst);
            } else {
                dst = tg_conv_cut(run, l->run, t.first * in_c, t.end * in_c, dst);
            }
        }
        iy += cfg->dil_h;
    }
}

/** The window of one pixel; (iy, ix) is the image position of tap (0, 0). */
static inline void tg_conv_fill(const tg_layer16_t *l, int32_t iy, int32_t ix, int16_t *dst)
{
    const tg_conv_s16_cfg_t *const cfg = l->cfg;
    const int32_t y_last = iy + ((cfg->k_h - 1) * cfg->dil_h);
    const int32_t x_last = ix + ((cfg->k_w - 1) * cfg->dil_w);
    if ((l->cols == cfg->k_w) && (iy >= 0) && (ix >= 0) && (y_last < cfg->in_h) && (x_last < cfg->in_w)) {
        const int32_t row = cfg->in_w * cfg->in_c;
        (void)tg_conv_runs(&l->x[(iy * row) + (ix * cfg->in_c)], l->run, cfg->k_h, cfg->dil_h * row, dst);
    } else {
        tg_conv_border(l, iy, ix, dst);
    }
}

/** All channels of two pixels, outputs from `at` and from `at1` (may be `at`) on. */
static void tg_conv_pixels(const tg_output16_dsp_t *o, int32_t out_c, int32_t pairs, const int16_t *window,
                           const int32_t *w, const int32_t *b, const int32_t *m, void *y, int32_t at, int32_t at1)
{
    const int32_t whole = out_c & ~3;
    const int32_t rest = out_c - whole;
    tg_job16_t job = {whole / 4, 8 * pairs, b,      m, tg_at_s16_dsp(o, y, at), tg_at_s16_dsp(o, y, at1),
                      o->offset, o->shift,  o->kind};
    if (whole > 0) {
        tg_conv_blocks(&job, window, w);
    }
    if (rest > 0) {
        const size_t size = (o->kind != TG_BYTES) ? sizeof(int16_t) : sizeof(int8_t);
        int16_t part[8];
        job.blocks = 1;
        job.b = &b[whole];
        job.m = &m[whole];
        job.y0 = part;
        job.y1 = &part[4];
        tg_conv_blocks(&job, window, &w[(whole / 2) * pairs]);
        (void)memcpy(tg_at_s16_dsp(o, y, at + whole), part, (size_t)rest * size);
        (void)memcpy(tg_at_s16_dsp(o, y, at1 + whole), &part[4], (size_t)rest * size);
    }
}

TG_SHARED void tg_conv_s16_dsp(const tg_conv_s16_cfg_t *cfg, const int16_t *x, const int32_t *w, const int32_t *b,
                               const int32_t *m, int16_t *scratch, void *y)
{
    const tg_output16_dsp_t o = tg_output16_dsp(cfg->shift, cfg->out_zp, cfg->lo, cfg->hi, cfg->wide);
    const int32_t cols = (cfg->dil_w == 1U) ? cfg->k_w : 1;
    const int32_t run = cols * cfg->in_c;
    const int32_t pairs = (((cfg->k_h * (cfg->k_w / cols) * ((run + 1) / 2)) + 1) / 2) * 2;
    const tg_layer16_t l = {cfg, x, cols, run, (cols > 1) ? cols : cfg->dil_w};
    const int32_t pixels = cfg->out_h * cfg->out_w;
    int32_t oy = 0;
    int32_t ox = 0;
    for (int32_t p = 0; p < pixels; p += 2) {
        const int32_t at = p * cfg->out_c;
        for (int32_t slot = 0; slot < 2; ++slot) {
            tg_conv_fill(&l, (oy * cfg->stride_h) - cfg->pad_top, (ox * cfg->stride_w) - cfg->pad_left,
                         &scratch[2 * slot]);
            if ((p + 1) < pixels) { /* an odd last pixel fills both halves of the window */
                ++ox;
                if (ox == cfg->out_w) {
                    ox = 0;
                    ++oy;
                }
            }
        }
        tg_conv_pixels(&o, cfg->out_c, pairs, scratch, w, b, m, y, at, ((p + 1) < pixels) ? (at + cfg->out_c) : at);
    }
    if (o.limited != 0) {
        tg_limit_s16_dsp(&o, y, 0, pixels * cfg->out_c);
    }
}
