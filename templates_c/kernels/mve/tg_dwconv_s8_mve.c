#include "tg_dwconv_s8_mve.h"

#include "tg_isa_mve.h"

/** A strip of up to four outputs down, all of them across, of some channels. The assembly knows the members' order. */
typedef struct {
    const int8_t *x; /**< the first window */
    int8_t *y;
    int32_t x_next; /**< from channel to channel: 0 when they read one plane */
    const int8_t *w;
    const int32_t *b;
    const int32_t *m;
    int32_t across;
    int32_t channels;
    int32_t x_step; /**< from output to output across */
    int32_t y_step;
    int32_t shift; /**< 31 - the shift of the requantisation */
    int32_t zp;
    int32_t lo;
    int32_t hi;
    int32_t y_down;
    int32_t down;    /**< outputs of the strip, 1..4 */
    int32_t vectors; /**< of a window */
    int32_t simple;  /**< 1: four outputs down and one vector; 0: any number of either */
} tg_strip_mve_t;

/**
 * r1: window; r3: output; r5, r7: steps; r8: bias; r9: multiplier; r12: the strip; even registers: sums of the four
 * windows, which start one byte after the other.
 */
#if TG_MVE
static TG_NOINLINE TG_NAKED void tg_dwconv_strip(tg_strip_mve_t *strip __attribute__((unused)))
{
    __asm__ volatile("push {r4-r11, lr}\n"
                     "vpush {d8-d15}\n"
                     "sub sp, sp, #8\n"
                     "mov r12, r0\n"
                     "mov r0, #0\n"
                     "vidup.u32 q7, r0, #1\n"
                     "ldrd r0, r2, [r12, #56]\n" /* y_down, down */
                     "vmul.i32 q7, q7, r0\n"     /* where the four outputs go */
                     "vctp.32 r2\n"
                     "ldrd r4, r6, [r12, #48]\n" /* lo, hi */
                     "vdup.32 q5, r4\n"
                     "vdup.32 q6, r6\n"
                     "ldrd r5, r7, [r12, #32]\n" /* x_step, y_step */
                     "1:\n"
                     "ldrd r1, r3, [r12]\n"
                     "ldrd r0, r11, [r12, #8]\n" /* x_next, w */
                     "add r0, r0, r1\n"
                     "add r4, r3, #1\n"
                     "strd r0, r4, [r12]\n"
                     "ldrd r0, r2, [r12, #16]\n"
                     "ldr r8, [r0], #4\n"
                     "ldr r9, [r2], #4\n"
                     "strd r0, r2, [r12, #16]\n"
                     "ldr r0, [r12, #24]\n" /* across */
                     "ldr r2, [r12, #68]\n" /* simple */
                     "cmp r2, #0\n"
                     "beq 3f\n"
                     /* four outputs down and one vector */
                     "vldrb.8 q0, [r11], #16\n"
                     "str r11, [r12, #12]\n"
                     "ldrd r10, r11, [r12, #40]\n" /* shift, zp */
                     "dls lr, r0\n"
                     "2:\n"
                     "vldrb.8 q1, [r1]\n"
                     "vldrb.8 q2, [r1, #1]\n"
                     "vmladav.s8 r0, q0, q1\n"
                     "vldrb.8 q3, [r1, #2]\n"
                     "vmladav.s8 r2, q0, q2\n"
                     "vldrb.8 q1, [r1, #3]\n"
                     "vmladav.s8 r4, q0, q3\n"
                     "add r1, r1, r5\n"
                     "vmladav.s8 r6, q0, q1\n"
                     "vmov d4, r0, r2\n"
                     "vmov d5, r4, r6\n"
                     "vadd.i32 q2, q2, r8\n"
                     "vqdmulh.s32 q2, q2, r9\n"
                     "vrshl.s32 q2, r10\n"
                     "vadd.i32 q2, q2, r11\n"
                     "vmax.s32 q2, q2, q5\n"
                     "vmin.s32 q2, q2, q6\n"
                     "vstrb.32 q2, [r3, q7]\n"
                     "add r3, r3, r7\n"
                     "le lr, 2b\n"
                     "b 6f\n"
                     /* any number of either */
                     "3:\n"
                     "str r0, [sp]\n"
                     "4:\n"
                     "ldr r11, [r12, #12]\n"
                     "mov r10, r1\n"
                     "mov r0, #0\n"
                     "mov r2, #0\n"
                     "mov r4, #0\n"
                     "mov r6, #0\n"
                     "ldr lr, [r12, #64]\n"
                     "dls lr, lr\n"
                     "5:\n"
                     "vldrb.8 q0, [r11], #16\n"
                     "vldrb.8 q1, [r10, #1]\n"
                     "vldrb.8 q2, [r10, #2]\n"
                     "vmladava.s8 r2, q0, q1\n"
                     "vldrb.8 q3, [r10, #3]\n"
                     "vmladava.s8 r4, q0, q2\n"
                     "vldrb.8 q4, [r10], #16\n"
                     "vmladava.s8 r6, q0, q3\n"
                     "vmladava.s8 r0, q0, q4\n"
                     "le lr, 5b\n"
                     "vmov d4, r0, r2\n"
                     "vmov d5, r4, r6\n"
                     "ldrd r0, r2, [r12, #40]\n" /* shift, zp */
                     "vadd.i32 q2, q2, r8\n"
                     "vqdmulh.s32 q2, q2, r9\n"
                     "vrshl.s32 q2, r0\n"
                     "vadd.i32 q2, q2, r2\n"
                     "vmax.s32 q2, q2, q5\n"
                     "vmin.s32 q2, q2, q6\n"
                     "vpst\n"
                     "vstrbt.32 q2, [r3, q7]\n"
                     "add r1, r1, r5\n"
                     "add r3, r3, r7\n"
                     "ldr r0, [sp]\n"
                     "subs r0, r0, #1\n"
                     "str r0, [sp]\n"
                     "bne 4b\n"
                     "str r11, [r12, #12]\n"
                     "6:\n"
                     "ldr r0, [r12, #28]\n" /* channels */
                     "subs r0, r0, #1\n"
                     "str r0, [r12, #28]\n"
                     "bne 1b\n"
                     "add sp, sp, #8\n"
                     "vpop {d8-d15}\n"
                     "pop {r4-r11, pc}\n");
}
#else
static TG_NOINLINE void tg_dwconv_strip(tg_strip_mve_t *strip)
{
    for (int32_t c = 0; c < strip->channels; ++c) {
        for (int32_t i = 0; i < strip->across; ++i) {
            for (int32_t j = 0; j < strip->down; ++j) {
                const int8_t *const x = &strip->x[(c * strip->x_next) + (i * strip->x_step) + j];
                int32_t v = strip->b[c];
                for (int32_t t = 0; t < (16 * strip->vectors); ++t) {
                    v = tg_add_wrap_mve(v, strip->w[t] * x[t]);
                }
                v = strip->zp + tg_requant_mve(v, strip->m[c], 31 - strip->shift);
                v = (v < strip->lo) ? strip->lo : ((v > strip->hi) ? strip->hi : v);
                strip->y[c + (i * strip->y_step) + (j * strip->y_down)] = (int8_t)v;
            }
        }
        strip->w += 16 * strip->vectors;
    }
    strip->b += strip->channels;
    strip->m += strip->channels;
}
#endif

/** Groups of up to eight bytes, and where they go: `apart` bytes from the first to the second. */
typedef struct {
    int32_t count;
    int32_t apart;
    int32_t from_step; /**< from group to group */
    int32_t to_step;
} tg_spread_t;

/** n >= 0 groups. */
static TG_NOINLINE void tg_dwconv_spread(const tg_spread_t *s, const int8_t *from, int8_t *to, int32_t n)
{
#if TG_MVE
    __asm__ volatile("mov r12, #0\n"
                     "vidup.u16 q1, r12, #1\n"
                     "vmul.i16 q1, q1, %[apart]\n"
                     "vctp.16 %[count]\n"
                     "wls lr, %[n], 2f\n"
                     "1: vpstt\n"
                     "vldrbt.u16 q0, [%[from]]\n"
                     "vstrbt.16 q0, [%[to], q1]\n"
                     "add %[from], %[from], %[from_step]\n"
                     "add %[to], %[to], %[to_step]\n"
                     "le lr, 1b\n"
                     "2:\n"
                     : [to] "+r"(to), [from] "+l"(from)
                     : [n] "r"(n), [apart] "r"(s->apart), [count] "r"(s->count), [from_step] "r"(s->from_step),
                       [to_step] "r"(s->to_step)
                     : "r12", "lr", "q0", "q1", "memory");
#else
    for (int32_t i = 0; i < n; ++i) {
        for (int32_t c = 0; c < s->count; ++c) {
            to[(i * s->to_step) + (c * s->apart)] = from[(i * s->from_step) + c];
        }
    }
#endif
}

/** One axis of a layer; steps in bytes. */
typedef struct {
    int32_t in;
    int32_t out;
    int32_t k;
    int32_t stride;
    int32_t dil;
    int32_t pad;
    int32_t x_step;
    int32_t y_step;
    int32_t w_step;
} tg_axis_t;

/** How eight channels lie in scratch. */
typedef struct {
    tg_axis_t down;
    tg_axis_t across;
    int32_t phase;   /**< values of a column that are `down.stride` apart in the image, which are neighbours here */
    int32_t height;  /**< of a column */
    int32_t plane;   /**< bytes of a channel */
    int32_t vectors; /**< of a window */
} tg_planes_t;

/** Where image row `row` of a strip lies in a column: rows `stride` apart are neighbours, so windows one byte apart. */
static inline int32_t tg_dwconv_place(const tg_planes_t *p, int32_t row)
{
    return ((row % p->down.stride) * p->phase) + (row / p->down.stride);
}

/** The twin of dwconv_mve_planes() in pack_mve.py. */
static tg_planes_t tg_dwconv_planes(const tg_dwconv_s8_cfg_t *cfg)
{
    const tg_axis_t h = {cfg->in_h,
                         cfg->out_h,
                         cfg->k_h,
                         cfg->stride_h,
                         cfg->dil_h,
                         cfg->pad_top,
                         cfg->in_w * cfg->in_c,
                         cfg->out_w * cfg->out_c,
                         cfg->k_w * cfg->out_c};
    const tg_axis_t w = {cfg->in_w,     cfg->out_w, cfg->k_w,   cfg->stride_w, cfg->dil_w,
                         cfg->pad_left, cfg->in_c,  cfg->out_c, cfg->out_c};
    tg_planes_t p = {h, w, 0, 0, 0, 0};
    int32_t last = 0;
    if (cfg->out_h < cfg->out_w) {
        p.down = w;
        p.across = h;
    }
    p.phase = 4 + (((p.down.k - 1) * p.down.dil) / p.down.stride);
    p.height = p.phase * p.down.stride;
    p.plane = (((p.across.out - 1) * p.across.stride) + ((p.across.k - 1) * p.across.dil) + 1) * p.height;
    for (int32_t k = 0; k < p.down.k; ++k) {
        const int32_t place = tg_dwconv_place(&p, k * p.down.dil);
        last = (place > last) ? place : last;
    }
    p.vectors = ((((p.across.k - 1) * p.across.dil * p.height) + last) / 16) + 1;
    return p;
}

/** The image rows that `outputs` outputs from `first` on read, eight channels (or `count`) from x on. */
static void tg_dwconv_fill(const tg_planes_t *p, int32_t zp, const int8_t *x, int32_t count, int32_t first,
                           int32_t outputs, int8_t *planes)
{
    const int8_t v = (int8_t)zp;
    const int8_t padding[8] = {v, v, v, v, v, v, v, v};
    const tg_spread_t outside = {count, p->plane, 0, p->height};
    const tg_spread_t inside = {count, p->plane, p->across.x_step, p->height};
    const int32_t cols = p->plane / p->height;
    const int32_t left = (p->across.pad < cols) ? p->across.pad : cols;
    const int32_t middle = ((cols - left) < p->across.in) ? (cols - left) : p->across.in;
    const int32_t rows = ((outputs - 1) * p->down.stride) + ((p->down.k - 1) * p->down.dil) + 1;
    const int32_t origin = (first * p->down.stride) - p->down.pad;
    for (int32_t r = 0; r < rows; ++r) {
        const int32_t i = origin + r;
        int8_t *const to = &planes[tg_dwconv_place(p, r)];
        if ((i < 0) || (i >= p->down.in)) {
            tg_dwconv_spread(&outside, padding, to, cols);
        } else {
            if (left > 0) {
                tg_dwconv_spread(&outside, padding, to, left);
            }
            tg_dwconv_spread(&inside, &x[i * p->down.x_step], &to[left * p->height], middle);
            if ((left + middle) < cols) {
                tg_dwconv_spread(&outside, padding, &to[(left + middle) * p->height], cols - left - middle);
            }
        }
    }
}

/** Vectors of weights for `channels` channels from w on: zeros but for the places of the taps. */
static void tg_dwconv_weights(const tg_planes_t *p, const int8_t *w, int32_t channels, int8_t *to)
{
    const int32_t size = 16 * p->vectors;
    tg_fill_mve(to, 0, channels * size);
    for (int32_t c = 0; c < channels; c += 8) {
        const tg_spread_t s = {((channels - c) < 8) ? (channels - c) : 8, size, p->across.w_step,
                               p->across.dil * p->height};
        for (int32_t k = 0; k < p->down.k; ++k) {
            tg_dwconv_spread(&s, &w[(k * p->down.w_step) + c], &to[(c * size) + tg_dwconv_place(p, k * p->down.dil)],
                             p->across.k);
        }
    }
}

TG_SHARED void tg_dwconv_s8_mve(const tg_dwconv_s8_cfg_t *cfg, const int8_t *x, const int8_t *w, const int32_t *b,
                                const int32_t *m, int16_t *scratch, int8_t *y)
{
    const tg_planes_t p = tg_dwconv_planes(cfg);
    const int32_t in_c = cfg->in_c;
    const int32_t multiplier = cfg->out_c / in_c;
    const int32_t most = (in_c < 8) ? in_c : 8;
    int8_t *const weights = (int8_t *)scratch;
    int8_t *const planes = &weights[most * multiplier * 16 * p.vectors];
    tg_strip_mve_t s;
    s.across = p.across.out;
    s.x_step = p.across.stride * p.height;
    s.y_step = p.across.y_step;
    s.shift = 31 - cfg->shift;
    s.zp = cfg->out_zp;
    s.lo = cfg->lo;
    s.hi = cfg->hi;
    s.y_down = p.down.y_step;
    s.down = (p.down.out < 4) ? p.down.out : 4;
    s.vectors = p.vectors;
    s.simple = ((s.down == 4) && (p.vectors == 1)) ? 1 : 0;
    for (int32_t c = 0; c < in_c; c += 8) {
        const int32_t count = ((in_c - c) < 8) ? (in_c - c) : 8;
        const int32_t oc = c * multiplier;
        tg_dwconv_weights(&p, &w[oc], count * multiplier, weights);
        for (int32_t i = 0; i < p.down.out; i += 4) {
            /* the last strip may compute some outputs of the one before again */
            const int32_t first = ((i + s.down) > p.down.out) ? (p.down.out - s.down) : i;
            tg_dwconv_fill(&p, cfg->in_zp, &x[c], count, first, s.down, planes);
            s.w = weights;
            s.b = &b[oc];
            s.m = &m[oc];
            for (int32_t j = 0; j < ((multiplier == 1) ? 1 : count); ++j) {
                s.x = &planes[j * p.plane];
                s.x_next = (multiplier == 1) ? p.plane : 0;
                s.y = &y[(first * p.down.y_step) + oc + (j * multiplier)];
                s.channels = (multiplier == 1) ? count : multiplier;
                tg_dwconv_strip(&s);
            }
        }
    }
}
