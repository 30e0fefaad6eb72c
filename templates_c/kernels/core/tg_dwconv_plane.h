/**
 * @file  tg_dwconv_plane.h
 * @brief Depthwise convolution a channel at a time, for cores without SIMD.
 *
 * A channel is copied out of the image into a plane of bytes x + 128 with its padding around it, so no output is at a
 * border; its weights become words. Rows share their padding: what follows a row is what precedes the next. With
 * stride 1 the outputs of several rows are one run of sums, those between the rows left out at the end.
 */
#ifndef TG_DWCONV_PLANE_H_INCLUDED
#define TG_DWCONV_PLANE_H_INCLUDED

#include <string.h>

#include "tg_dwconv_s8.h"
#include "tg_numerics.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Sums made at a time, when a row has no more; PLANE_SUMS of pack_small.py. */
#define TG_PLANE_SUMS 128
/** Outputs made at a time by the assembly, and so too many at the end of a run. */
#define TG_PLANE_STEP 4

/** Three neighbouring taps; `advance` leads from those before. */
typedef struct {
    int32_t advance;
    int32_t w[3];
} tg_taps3_t;

/** A run of sums; the assembly reads it by offset. */
typedef struct {
    const uint8_t *x;
    const tg_taps3_t *taps;
    const tg_taps3_t *taps_end;
    int32_t *sum;
    int32_t *sum_end; /**< may be passed by up to 3 */
    int32_t start;
} tg_run_t;

/** Runs of sums become outputs. */
typedef struct {
    int32_t rows;
    int32_t cols;
    int32_t gap;  /**< sums left out between rows */
    int32_t step; /**< from output to output */
    int32_t zp;
    int32_t lo;
    int32_t hi;
    uint32_t shift;
} tg_plane_out_t;

/** (sums, multiplier, y); gives the end of y. */
typedef int8_t *(*tg_plane_out_fn_t)(const tg_plane_out_t *o, const int32_t *sum, int32_t m, int8_t *y);

#if defined(__GNUC__) && TG_SMALL_CORE
/** Two outputs, `s` bytes apart, at a time. r0, r1 sums; r2 x; r3-r5 weights; r6 x pointer; r7 taps. */
#define TG_PLANE_LOOP(s)                                                                                               \
    "1:\n"                                                                                                             \
    "mov   r7, r12\n"                                                                                                  \
    "mov   r6, r8\n"                                                                                                   \
    "mov   r0, r11\n"                                                                                                  \
    "mov   r1, r11\n"                                                                                                  \
    "2:\n"                                                                                                             \
    "ldmia r7!, {r2-r5}\n"                                                                                             \
    "adds  r6, r6, r2\n"                                                                                               \
    "ldrb  r2, [r6, #0]\n"                                                                                             \
    "muls  r2, r3, r2\n"                                                                                               \
    "adds  r0, r0, r2\n"                                                                                               \
    "ldrb  r2, [r6, #1]\n"                                                                                             \
    "muls  r2, r4, r2\n"                                                                                               \
    "adds  r0, r0, r2\n"                                                                                               \
    "ldrb  r2, [r6, #2]\n"                                                                                             \
    "muls  r2, r5, r2\n"                                                                                               \
    "adds  r0, r0, r2\n"                                                                                               \
    "ldrb  r2, [r6, #" #s "]\n"                                                                                        \
    "muls  r3, r2, r3\n"                                                                                               \
    "adds  r1, r1, r3\n"                                                                                               \
    "ldrb  r2, [r6, #1+" #s "]\n"                                                                                      \
    "muls  r4, r2, r4\n"                                                                                               \
    "adds  r1, r1, r4\n"                                                                                               \
    "ldrb  r2, [r6, #2+" #s "]\n"                                                                                      \
    "muls  r5, r2, r5\n"                                                                                               \
    "adds  r1, r1, r5\n"                                                                                               \
    "cmp   r7, lr\n"                                                                                                   \
    "bne   2b\n"                                                                                                       \
    "mov   r2, r9\n"                                                                                                   \
    "stmia r2!, {r0, r1}\n"                                                                                            \
    "mov   r9, r2\n"                                                                                                   \
    "movs  r3, #2*" #s "\n"                                                                                            \
    "add   r8, r3\n"                                                                                                   \
    "cmp   r2, r10\n"                                                                                                  \
    "blo   1b\n"

#define TG_PLANE_RUN(name, s)                                                                                          \
    static TG_NOINLINE void name(const tg_run_t *run)                                                                  \
    {                                                                                                                  \
        register const tg_run_t *r0 __asm__("r0") = run;                                                               \
        __asm__ volatile(".syntax unified\n"                                                                           \
                         "push  {r4-r7, lr}\n"                                                                         \
                         "mov   r4, r8\n"                                                                              \
                         "mov   r5, r9\n"                                                                              \
                         "mov   r6, r10\n"                                                                             \
                         "mov   r7, r11\n"                                                                             \
                         "push  {r4-r7}\n"                                                                             \
                         "ldmia r0!, {r1-r6}\n"                                                                        \
                         "mov   r8, r1\n"  /* x */                                                                     \
                         "mov   r12, r2\n" /* taps */                                                                  \
                         "mov   lr, r3\n"  /* taps_end */                                                              \
                         "mov   r9, r4\n"  /* sum */                                                                   \
                         "mov   r10, r5\n" /* sum_end */                                                               \
                         "mov   r11, r6\n" /* start */                                                                 \
                         TG_PLANE_LOOP(s) "pop   {r4-r7}\n"                                                            \
                                          "mov   r8, r4\n"                                                             \
                                          "mov   r9, r5\n"                                                             \
                                          "mov   r10, r6\n"                                                            \
                                          "mov   r11, r7\n"                                                            \
                                          "pop   {r4-r7}\n"                                                            \
                                          "pop   {r3}\n"                                                               \
                                          "mov   lr, r3\n"                                                             \
                         : "+r"(r0)                                                                                    \
                         :                                                                                             \
                         : "r1", "r2", "r3", "r12", "cc", "memory");                                                   \
    }
TG_PLANE_RUN(tg_plane_run1, 1)
TG_PLANE_RUN(tg_plane_run2, 2)

#elif defined(__GNUC__) && defined(__thumb2__)
/** Four outputs at a time. r0-r3 sums; r4 x; r5-r7 weights; r8 x pointer; r9 taps. */
#define TG_PLANE_RUN(name, s, products)                                                                                \
    static TG_NOINLINE void name(const tg_run_t *run)                                                                  \
    {                                                                                                                  \
        register const tg_run_t *r0 __asm__("r0") = run;                                                               \
        __asm__ volatile(".syntax unified\n"                                                                           \
                         "push  {r4-r11, lr}\n"                                                                        \
                         "ldm   r0, {r1, r2, r3, r4, r5, r6}\n"                                                        \
                         "push  {r2, r6}\n" /* taps, start */                                                          \
                         "mov   r11, r1\n"  /* x */                                                                    \
                         "mov   r10, r3\n"  /* taps_end */                                                             \
                         "mov   r12, r4\n"  /* sum */                                                                  \
                         "mov   lr, r5\n"   /* sum_end */                                                              \
                         "1:\n"                                                                                        \
                         "ldrd  r9, r0, [sp]\n"                                                                        \
                         "mov   r8, r11\n"                                                                             \
                         "mov   r1, r0\n"                                                                              \
                         "mov   r2, r0\n"                                                                              \
                         "mov   r3, r0\n"                                                                              \
                         "2:\n"                                                                                        \
                         "ldmia r9!, {r4-r7}\n"                                                                        \
                         "add   r8, r8, r4\n" products "cmp   r9, r10\n"                                               \
                         "bne   2b\n"                                                                                  \
                         "stmia r12!, {r0-r3}\n"                                                                       \
                         "add   r11, r11, #4*" #s "\n"                                                                 \
                         "cmp   r12, lr\n"                                                                             \
                         "blo   1b\n"                                                                                  \
                         "add   sp, sp, #8\n"                                                                          \
                         "pop   {r4-r11, lr}\n"                                                                        \
                         : "+r"(r0)                                                                                    \
                         :                                                                                             \
                         : "r1", "r2", "r3", "r12", "cc", "memory");                                                   \
    }
#define TG_PLANE_X(at) "ldrb  r4, [r8, #" #at "]\n"
#define TG_PLANE_MLA(sum, w) "mla   " #sum ", r4, " #w ", " #sum "\n"
TG_PLANE_RUN(tg_plane_run1, 1,
             TG_PLANE_X(0) TG_PLANE_MLA(r0, r5) TG_PLANE_X(1) TG_PLANE_MLA(r0, r6) TG_PLANE_MLA(r1, r5) TG_PLANE_X(2)
                 TG_PLANE_MLA(r0, r7) TG_PLANE_MLA(r1, r6) TG_PLANE_MLA(r2, r5) TG_PLANE_X(3) TG_PLANE_MLA(r1, r7)
                     TG_PLANE_MLA(r2, r6) TG_PLANE_MLA(r3, r5) TG_PLANE_X(4) TG_PLANE_MLA(r2, r7) TG_PLANE_MLA(r3, r6)
                         TG_PLANE_X(5) TG_PLANE_MLA(r3, r7))
TG_PLANE_RUN(tg_plane_run2, 2,
             TG_PLANE_X(0) TG_PLANE_MLA(r0, r5) TG_PLANE_X(1) TG_PLANE_MLA(r0, r6) TG_PLANE_X(2) TG_PLANE_MLA(r0, r7)
                 TG_PLANE_MLA(r1, r5) TG_PLANE_X(3) TG_PLANE_MLA(r1, r6) TG_PLANE_X(4) TG_PLANE_MLA(r1, r7)
                     TG_PLANE_MLA(r2, r5) TG_PLANE_X(5) TG_PLANE_MLA(r2, r6) TG_PLANE_X(6) TG_PLANE_MLA(r2, r7)
                         TG_PLANE_MLA(r3, r5) TG_PLANE_X(7) TG_PLANE_MLA(r3, r6) TG_PLANE_X(8) TG_PLANE_MLA(r3, r7))

#else
/** The sums of a run, `stride` bytes apart: what the assembly does. */
static inline void tg_plane_run(const tg_run_t *run, int32_t stride)
{
    const uint8_t *x = run->x;
    int32_t *sum = run->sum;
    do {
        for (int32_t i = 0; i < TG_PLANE_STEP; ++i) {
            const uint8_t *p = x;
            int32_t acc = run->start;
            for (const tg_taps3_t *t = run->taps; t != run->taps_end; ++t) {
                p += t->advance;
                acc += (p[0] * t->w[0]) + (p[1] * t->w[1]) + (p[2] * t->w[2]);
            }
            sum[i] = acc;
            x += stride;
        }
        sum += TG_PLANE_STEP;
    } while (sum < run->sum_end);
}

static TG_NOINLINE void tg_plane_run1(const tg_run_t *run)
{
    tg_plane_run(run, 1);
}

static TG_NOINLINE void tg_plane_run2(const tg_run_t *run)
{
    tg_plane_run(run, 2);
}
#endif

/**
 * Without a 64-bit product, for |sum| < 2^19 and 21 <= shift <= 42: m is a multiple of 256 (NUMERICS section 1), so
 * its upper 24 bits are two halves whose products with a sum fit 32 bits.
 */
static inline int8_t *tg_plane_out_narrow(const tg_plane_out_t *o, const int32_t *sum, int32_t m, int8_t *y)
{
    const int32_t m_low = (m >> 8) & 0xFFF;
    const int32_t m_high = m >> 20;
    const uint32_t shift = o->shift - 20U;
    const int32_t one = (int32_t)(1UL << shift);
    const int32_t offset = (one >> 1) + (o->zp * one);
    const int32_t lo = o->lo;
    const int32_t hi = o->hi;
    const int32_t step = o->step;
    for (int32_t rows = o->rows; rows > 0; --rows) {
        const int32_t *const end = &sum[o->cols];
        do {
            const int32_t acc = *sum;
            const int32_t v = ((acc * m_high) + ((acc * m_low) >> 12) + offset) >> shift;
            *y = (int8_t)tg_clamp(v, lo, hi);
            y += step;
            ++sum;
        } while (sum != end);
        sum += o->gap;
    }
    return y;
}

/** With a 64-bit product: 33 <= shift <= 54. */
static inline int8_t *tg_plane_out_wide(const tg_plane_out_t *o, const int32_t *sum, int32_t m, int8_t *y)
{
    const uint32_t shift = o->shift - 32U;
    const int32_t one = (int32_t)(1UL << shift);
    const int32_t offset = (one >> 1) + (o->zp * one);
    const int32_t lo = o->lo;
    const int32_t hi = o->hi;
    const int32_t step = o->step;
    for (int32_t rows = o->rows; rows > 0; --rows) {
        const int32_t *const end = &sum[o->cols];
        do {
            const int32_t v = (tg_mul_high_wide(*sum, m) + offset) >> shift;
            *y = (int8_t)tg_clamp(v, lo, hi);
            y += step;
            ++sum;
        } while (sum != end);
        sum += o->gap;
    }
    return y;
}

/** One channel of an image, `channels` bytes from pixel to pixel, to rows of the plane, `pitch` apart. */
static TG_NOINLINE void tg_plane_fill(const int8_t *x, int32_t channels, int32_t rows, int32_t cols, int32_t pitch,
                                      uint8_t *plane)
{
    for (; rows > 0; --rows) {
        uint8_t *p = plane;
        int32_t left = cols;
        for (; left >= 4; left -= 4) {
            p[0] = (uint8_t)((uint8_t)*x ^ 0x80U);
            x += channels;
            p[1] = (uint8_t)((uint8_t)*x ^ 0x80U);
            x += channels;
            p[2] = (uint8_t)((uint8_t)*x ^ 0x80U);
            x += channels;
            p[3] = (uint8_t)((uint8_t)*x ^ 0x80U);
            x += channels;
            p += 4;
        }
        for (; left > 0; --left) {
            *p = (uint8_t)((uint8_t)*x ^ 0x80U);
            x += channels;
            ++p;
        }
        plane += pitch;
    }
}

/** How a layer lies in scratch; plane_scratch() of pack_small.py is its twin. */
typedef struct {
    int32_t in_h, in_w, out_h, out_w, k_h, k_w, stride_h, stride_w, dil_h, pad_top, pad_left;
    int32_t pitch;  /**< of the plane */
    int32_t edge;   /**< bytes before and between its rows */
    int32_t height; /**< of the plane */
    int32_t rows;   /**< of outputs in a run */
    int32_t triples;
} tg_plane_t;

static inline int32_t tg_plane_max(int32_t a, int32_t b)
{
    return (a > b) ? a : b;
}

static TG_NOINLINE void tg_plane_layout(const tg_dwconv_s8_cfg_t *cfg, tg_plane_t *g)
{
    if ((cfg->in_w == 1U) && (cfg->k_w == 1U) && (cfg->out_w == 1U) &&
        (cfg->pad_left == 0U)) { /* a column becomes a row */
        const tg_plane_t turned = {1, cfg->in_h,    1, cfg->out_h, 1, cfg->k_h, 1, cfg->stride_h, 1,
                                   0, cfg->pad_top, 0, 0,          0, 1,        0};
        *g = turned;
    } else {
        const tg_plane_t same = {cfg->in_h,
                                 cfg->in_w,
                                 cfg->out_h,
                                 cfg->out_w,
                                 cfg->k_h,
                                 cfg->k_w,
                                 cfg->stride_h,
                                 cfg->stride_w,
                                 cfg->dil_h,
                                 cfg->pad_top,
                                 cfg->pad_left,
                                 0,
                                 0,
                                 0,
                                 1,
                                 0};
        *g = same;
    }
    g->edge = tg_plane_max(g->pad_left, ((g->out_w - 1) * g->stride_w) + g->k_w - g->pad_left - g->in_w);
    g->pitch = g->in_w + g->edge;
    g->height = tg_plane_max(g->pad_top + g->in_h, ((g->out_h - 1) * g->stride_h) + ((g->k_h - 1) * g->dil_h) + 1);
    if ((g->stride_h == 1) && (g->stride_w == 1)) {
        while ((g->rows < g->out_h) && (((g->rows + 1) * g->pitch) <= TG_PLANE_SUMS)) {
            ++g->rows;
        }
    }
    for (int32_t k = g->k_w; k > 0; k -= 3) {
        g->triples += g->k_h;
    }
}

/** Weights of one channel as words; gives the channel after it. */
static TG_NOINLINE const int8_t *tg_plane_taps(const tg_plane_t *g, const int8_t *w, tg_taps3_t *taps)
{
    const int32_t row = g->dil_h * g->pitch;
    int32_t at = 0; /* of the last three taps */
    int32_t start = 0;
    for (int32_t ky = g->k_h; ky > 0; --ky) {
        int32_t next = start;
        for (int32_t k = g->k_w; k > 0; k -= 3) {
            taps->advance = next - at;
            taps->w[0] = w[0];
            taps->w[1] = w[1];
            taps->w[2] = w[2];
            ++taps;
            w += 3;
            at = next;
            next += 3;
        }
        start += row;
    }
    return w;
}

/** The layer; see tg_dwconv_s8_m0.h. Inlined with a constant `make`: no call by pointer remains. */
static TG_INLINE void tg_dwconv_plane(const tg_dwconv_s8_cfg_t *cfg, const int8_t *x, const int8_t *w, const int32_t *b,
                                      const int32_t *m, int16_t *scratch, int8_t *y, tg_plane_out_fn_t make)
{
    const int32_t in_c = cfg->in_c;
    const int32_t out_c = cfg->out_c;
    tg_plane_t g;
    tg_plane_layout(cfg, &g);
    tg_taps3_t *const taps = (tg_taps3_t *)(void *)scratch;
    int32_t *const sums = (int32_t *)(void *)&taps[g.triples];
    uint8_t *const plane =
        (uint8_t *)&sums[(((g.rows - 1) * g.pitch) + g.out_w + TG_PLANE_STEP - 1) & ~(TG_PLANE_STEP - 1)];
    uint8_t *const inside = &plane[(g.pad_top * g.pitch) + g.edge];
    tg_plane_out_t o = {0, g.out_w, g.pitch - g.out_w, out_c, cfg->out_zp, cfg->lo, cfg->hi, cfg->shift};
    int32_t again = 0; /* output channels still to come from the plane */
    (void)memset(plane, (int32_t)cfg->in_zp + 128, (size_t)((g.height * g.pitch) + g.edge));
    for (int32_t c = 0; c < out_c; ++c) {
        int8_t *out = &y[c];
        tg_run_t run = {&plane[g.edge - g.pad_left], taps, &taps[g.triples], sums, sums, b[c]};
        w = tg_plane_taps(&g, w, taps);
        if (again == 0) {
            tg_plane_fill(x, in_c, g.in_h, g.in_w, g.pitch, inside);
            ++x;
            for (int32_t n = out_c; n > 0; n -= in_c) {
                ++again;
            }
        }
        --again;
        for (int32_t oy = 0; oy < g.out_h; oy += g.rows) {
            const int32_t left = g.out_h - oy;
            o.rows = (left < g.rows) ? left : g.rows;
            run.sum_end = &sums[((o.rows - 1) * g.pitch) + g.out_w];
            if (g.stride_w == 1) {
                tg_plane_run1(&run);
            } else {
                tg_plane_run2(&run);
            }
            out = make(&o, sums, m[c], out);
            run.x += o.rows * g.stride_h * g.pitch;
        }
    }
}

#ifdef __cplusplus
}
#endif

#endif /* TG_DWCONV_PLANE_H_INCLUDED */
