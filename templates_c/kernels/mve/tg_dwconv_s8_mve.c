#include "tg_dwconv_s8_mve.h"

#include "tg_isa_mve.h"

/** Outputs of some channels, four at a time: neighbours down, or two by two. The assembly knows the members' order. */
typedef struct {
    const int8_t *x; /**< the first window */
    int8_t *y;
    const int8_t *w;
    const int32_t *b;
    const int32_t *m;
    int32_t x_next; /**< from channel to channel: 0 when they read one plane */
    int32_t turns;  /**< four outputs each */
    int32_t pair;   /**< from the windows of the first two outputs, a byte apart, to those of the other two */
    int32_t shift;  /**< 31 - the shift of the requantisation */
    int32_t zp;
    int32_t channels;
    int32_t x_step; /**< from turn to turn */
    int32_t y_step;
    int32_t lo;
    int32_t hi;
    int32_t count;   /**< outputs of a turn, 1..4 */
    int32_t vectors; /**< of a window */
    int32_t simple;  /**< 1: four outputs and one vector; 0: any number of either */
    int32_t at[4];   /**< where the outputs of a turn go */
} tg_sweep_mve_t;

/**
 * r1, r12: windows; r3: output; r5, r7: steps; r8: bias; r9: multiplier; even registers: sums. In the general loop the
 * four windows start one byte after the other and r12 is the sweep.
 */
#if TG_MVE
static TG_NOINLINE TG_NAKED void tg_dwconv_sweep(tg_sweep_mve_t *sweep __attribute__((unused)))
{
    __asm__ volatile("push {r4-r11, lr}\n"
                     "vpush {d8-d15}\n"
                     "sub sp, sp, #8\n"
                     "str r0, [sp, #4]\n"
                     "mov r12, r0\n"
                     "vldrw.32 q7, [r0, #72]\n" /* at */
                     "ldr r2, [r0, #60]\n"      /* count */
                     "vctp.32 r2\n"
                     "ldrd r4, r6, [r0, #52]\n" /* lo, hi */
                     "vdup.32 q5, r4\n"
                     "vdup.32 q6, r6\n"
                     "ldrd r5, r7, [r0, #44]\n" /* x_step, y_step */
                     "ldr r2, [r0, #68]\n"      /* simple */
                     "cmp r2, #0\n"
                     "beq 3f\n"
                     /* four outputs and one vector */
                     "1:\n"
                     "ldm r12, {r1, r3, r4, r6, r10}\n"
                     "ldrd r11, lr, [r12, #20]\n" /* x_next, turns */
                     "ldr r8, [r6], #4\n"
                     "ldr r9, [r10], #4\n"
                     "vldrb.8 q0, [r4], #16\n"
                     "add r0, r1, r11\n"
                     "add r2, r3, #1\n"
                     "stm r12, {r0, r2, r4, r6, r10}\n"
                     "ldrd r10, r11, [r12, #32]\n" /* shift, zp */
                     "ldr r12, [r12, #28]\n"       /* pair */
                     "add r12, r12, r1\n"
                     "dls lr, lr\n"
                     "2:\n"
                     "vldrb.8 q1, [r1]\n"
                     "vldrb.8 q2, [r1, #1]\n"
                     "vmladav.s8 r0, q0, q1\n"
                     "vldrb.8 q3, [r12]\n"
                     "vmladav.s8 r2, q0, q2\n"
                     "vldrb.8 q1, [r12, #1]\n"
                     "vmladav.s8 r4, q0, q3\n"
                     "add r1, r1, r5\n"
                     "vmladav.s8 r6, q0, q1\n"
                     "add r12, r12, r5\n"
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
                     "ldr r12, [sp, #4]\n"
                     "ldr r0, [r12, #40]\n" /* channels */
                     "subs r0, r0, #1\n"
                     "str r0, [r12, #40]\n"
                     "bne 1b\n"
                     "b 6f\n"
                     /* any number of either */
                     "3:\n"
                     "ldm r12, {r1, r3, r4, r6, r10}\n"
                     "ldrd r11, lr, [r12, #20]\n"
                     "str lr, [sp]\n"
                     "ldr r8, [r6], #4\n"
                     "ldr r9, [r10], #4\n"
                     "add r0, r1, r11\n"
                     "add r2, r3, #1\n"
                     "stm r12, {r0, r2, r4, r6, r10}\n"
                     "4:\n"
                     "ldr r11, [r12, #8]\n" /* w */
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
                     "ldrd r0, r2, [r12, #32]\n" /* shift, zp */
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
                     "str r11, [r12, #8]\n"
                     "ldr r0, [r12, #40]\n"
                     "subs r0, r0, #1\n"
                     "str r0, [r12, #40]\n"
                     "bne 3b\n"
                     "6:\n"
                     "add sp, sp, #8\n"
                     "vpop {d8-d15}\n"
                     "pop {r4-r11, pc}\n");
}
#else
static TG_NOINLINE void tg_dwconv_sweep(tg_sweep_mve_t *sweep)
{
    for (int32_t c = 0; c < sweep->channels; ++c) {
        for (int32_t i = 0; i < sweep->turns; ++i) {
            for (int32_t j = 0; j < sweep->count; ++j) {
                const int32_t start = (j % 2) + ((j / 2) * sweep->pair);
                const int8_t *const x = &sweep->x[(c * sweep->x_next) + (i * sweep->x_step) + start];
                int32_t v = sweep->b[c];
                for (int32_t t = 0; t < (16 * sweep->vectors); ++t) {
                    v = tg_add_wrap_mve(v, sweep->w[t] * x[t]);
                }
                v = sweep->zp + tg_requant_mve(v, sweep->m[c], 31 - sweep->shift);
                v = (v < sweep->lo) ? sweep->lo : ((v > sweep->hi) ? sweep->hi : v);
                sweep->y[c + (i * sweep->y_step) + sweep->at[j]] = (int8_t)v;
            }
        }
        sweep->w += 16 * sweep->vectors;
    }
    sweep->b += sweep->channels;
    sweep->m += sweep->channels;
}
#endif

/** Rows of groups of up to eight bytes, and where they go. The assembly knows the order of the members. */
typedef struct {
    int32_t count; /**< bytes of a group */
    int32_t apart; /**< from the place of one byte to that of the next */
    int32_t groups;
    int32_t from_step; /**< from group to group */
    int32_t to_step;
    int32_t from_row; /**< from row to row */
    int32_t to_row;
} tg_spread_t;

/** `rows` >= 1 rows of at least one group. */
#if TG_MVE
static TG_NOINLINE TG_NAKED void tg_dwconv_spread(const tg_spread_t *s __attribute__((unused)),
                                                  const int8_t *from __attribute__((unused)),
                                                  int8_t *to __attribute__((unused)),
                                                  int32_t rows __attribute__((unused)))
{
    __asm__ volatile("push {r4-r11, lr}\n"
                     "ldm r0, {r4-r10}\n"
                     "mov r0, #0\n"
                     "vidup.u16 q1, r0, #1\n"
                     "vmul.i16 q1, q1, r5\n"
                     "vctp.16 r4\n"
                     "1: mov r0, r1\n"
                     "mov r5, r2\n"
                     "dls lr, r6\n"
                     "cmp r4, #8\n"
                     "bne 3f\n"
                     "2: vldrb.u16 q0, [r0]\n"
                     "add r0, r0, r7\n"
                     "vstrb.16 q0, [r5, q1]\n"
                     "add r5, r5, r8\n"
                     "le lr, 2b\n"
                     "b 4f\n"
                     "3: vpstt\n"
                     "vldrbt.u16 q0, [r0]\n"
                     "vstrbt.16 q0, [r5, q1]\n"
                     "add r0, r0, r7\n"
                     "add r5, r5, r8\n"
                     "le lr, 3b\n"
                     "4: add r1, r1, r9\n"
                     "add r2, r2, r10\n"
                     "subs r3, r3, #1\n"
                     "bne 1b\n"
                     "pop {r4-r11, pc}\n");
}
#else
static TG_NOINLINE void tg_dwconv_spread(const tg_spread_t *s, const int8_t *from, int8_t *to, int32_t rows)
{
    for (int32_t r = 0; r < rows; ++r) {
        for (int32_t i = 0; i < s->groups; ++i) {
            for (int32_t c = 0; c < s->count; ++c) {
                to[(r * s->to_row) + (i * s->to_step) + (c * s->apart)] =
                    from[(r * s->from_row) + (i * s->from_step) + c];
            }
        }
    }
}
#endif

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
    int32_t strip;  /**< outputs down at a time: 4, or 2 (and 2 across) */
    int32_t phase;  /**< values of a column that are `down.stride` apart in the image, which are neighbours here */
    int32_t height; /**< of a column */
    int32_t cols;
    int32_t vectors; /**< of a window */
} tg_planes_t;

/** Where image row `row` of a strip lies in a column: rows `stride` apart are neighbours, so windows one byte apart. */
static inline int32_t tg_dwconv_place(const tg_planes_t *p, int32_t row)
{
    return ((row % p->down.stride) * p->phase) + (row / p->down.stride);
}

/** Lay out columns for strips of so many outputs. */
static void tg_dwconv_columns(tg_planes_t *p, int32_t strip)
{
    int32_t last = 0;
    p->strip = strip;
    p->phase = strip + (((p->down.k - 1) * p->down.dil) / p->down.stride);
    p->height = p->phase * p->down.stride;
    for (int32_t k = 0; k < p->down.k; ++k) {
        const int32_t place = tg_dwconv_place(p, k * p->down.dil);
        last = (place > last) ? place : last;
    }
    p->vectors = ((((p->across.k - 1) * p->across.dil * p->height) + last) / 16) + 1;
}

/** Instructions for a channel, roughly: turns, what a channel costs beside, and filling the columns. */
static int32_t tg_dwconv_cost(const tg_planes_t *p)
{
    const int32_t outputs = (p->down.out < p->strip) ? p->down.out : p->strip;
    const int32_t rows = ((outputs - 1) * p->down.stride) + ((p->down.k - 1) * p->down.dil) + 1;
    const int32_t turn = ((outputs == 4) && (p->vectors == 1)) ? 21 : (25 + (10 * p->vectors));
    int32_t sweep = (p->across.out * turn) + 20;
    if (p->strip == 2) {
        sweep = (((p->across.out + 1) / 2) * 21) + (20 * (1 + (p->across.out % 2)));
    }
    return ((p->down.out + p->strip - 1) / p->strip) * (sweep + ((5 * rows * p->cols) / 8));
}

/** The twin of dwconv_mve_planes() in kernels/mve/pack.py. */
static tg_planes_t tg_dwconv_planes(const tg_dwconv_s8_cfg_t *cfg)
{
    const int32_t x_row = cfg->in_w * cfg->in_c;
    const int32_t y_row = cfg->out_w * cfg->out_c;
    const int32_t w_row = cfg->k_w * cfg->out_c;
    const tg_axis_t h = {cfg->in_h, cfg->out_h, cfg->k_h, cfg->stride_h, cfg->dil_h, cfg->pad_top, x_row, y_row, w_row};
    const tg_axis_t w = {cfg->in_w,     cfg->out_w, cfg->k_w,   cfg->stride_w, cfg->dil_w,
                         cfg->pad_left, cfg->in_c,  cfg->out_c, cfg->out_c};
    const int32_t tall = (cfg->out_h >= cfg->out_w) ? 1 : 0;
    tg_planes_t p = {(tall != 0) ? h : w, (tall != 0) ? w : h, 0, 0, 0, 0, 0};
    p.cols = ((p.across.out - 1) * p.across.stride) + ((p.across.k - 1) * p.across.dil) + 1;
    tg_dwconv_columns(&p, 2);
    if ((p.across.out < 2) || (p.down.out < 2) || (p.vectors > 1)) {
        tg_dwconv_columns(&p, 4);
    } else {
        const int32_t squares = tg_dwconv_cost(&p);
        tg_dwconv_columns(&p, 4);
        if (squares < tg_dwconv_cost(&p)) {
            tg_dwconv_columns(&p, 2);
        }
    }
    return p;
}

/** The image rows that a strip reads, eight channels (or `count`) from x on; `first` is that of its first tap. Columns
 *  outside the image hold the zero point already, and so do rows above it. */
static void tg_dwconv_fill(const tg_planes_t *p, int32_t zp, const int8_t *x, int32_t count, int32_t first,
                           int32_t rows, int8_t *planes)
{
    const int8_t v = (int8_t)zp;
    const int8_t padding[8] = {v, v, v, v, v, v, v, v};
    const int32_t left = (p->across.pad < p->cols) ? p->across.pad : p->cols;
    const int32_t inside = ((p->cols - left) < p->across.in) ? (p->cols - left) : p->across.in;
    const int32_t stride = p->down.stride;
    const int32_t down = stride * p->down.x_step;
    const int32_t inner = (rows < (p->down.in - first)) ? rows : (p->down.in - first); /* rows above the lower edge */
    tg_spread_t image = {count, p->cols * p->height, inside, p->across.x_step, p->height, down, 1};
    const tg_spread_t below = {count, p->cols * p->height, inside, 0, p->height, 0, 1};
    planes += left * p->height;
    for (int32_t i = 0; (i < stride) && (inside > 0); ++i) { /* rows a stride apart are neighbours */
        int32_t r = i;
        int8_t *to = &planes[i * p->phase];
        while ((first + r) < 0) {
            r += stride;
            ++to;
        }
        if (r < inner) {
            const int32_t n = ((inner - r - 1) / stride) + 1;
            if (inside == 1) { /* one row of n groups for n rows of one */
                image.groups = n;
                image.from_step = down;
                image.to_step = 1;
            }
            tg_dwconv_spread(&image, &x[(first + r) * p->down.x_step], to, (inside == 1) ? 1 : n);
            r += n * stride;
            to += n;
        }
        if (r < rows) {
            tg_dwconv_spread(&below, padding, to, ((rows - r - 1) / stride) + 1);
        }
    }
}

/** Vectors of weights for `channels` channels from w on: zeros but for the places of the taps. */
static void tg_dwconv_weights(const tg_planes_t *p, const int8_t *w, int32_t channels, int8_t *to)
{
    const int32_t size = 16 * p->vectors;
    /* rows of the kernel lie evenly when the stride is 1 */
    const int32_t rows = (p->down.stride == 1) ? p->down.k : 1;
    tg_fill_mve(to, 0, channels * size);
    for (int32_t c = 0; c < channels; c += 8) {
        const tg_spread_t s = {((channels - c) < 8) ? (channels - c) : 8,
                               size,
                               p->across.k,
                               p->across.w_step,
                               p->across.dil * p->height,
                               p->down.w_step,
                               p->down.dil};
        for (int32_t k = 0; k < p->down.k; k += rows) {
            tg_dwconv_spread(&s, &w[(k * p->down.w_step) + c], &to[(c * size) + tg_dwconv_place(p, k * p->down.dil)],
                             rows);
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
    const int32_t plane = p.cols * p.height;
    const int32_t square = (p.strip == 2) ? 1 : 0;
    const int32_t outputs = (p.down.out < p.strip) ? p.down.out : p.strip; /* of a strip, down */
    const int32_t rows = ((outputs - 1) * p.down.stride) + ((p.down.k - 1) * p.down.dil) + 1;
    const int32_t turns = (square != 0) ? (p.across.out / 2) : p.across.out;
    const int32_t next = p.across.stride * p.height; /* from window to window across */
    int8_t *const weights = (int8_t *)scratch;
    int8_t *const planes = &weights[most * multiplier * 16 * p.vectors];
    tg_sweep_mve_t s;
    s.x_next = (multiplier == 1) ? plane : 0;
    s.x_step = (square != 0) ? (2 * next) : next;
    s.y_step = (square != 0) ? (2 * p.across.y_step) : p.across.y_step;
    s.shift = 31 - cfg->shift;
    s.zp = cfg->out_zp;
    s.lo = cfg->lo;
    s.hi = cfg->hi;
    s.pair = (square != 0) ? next : 2;
    s.count = (square != 0) ? 4 : outputs;
    s.vectors = p.vectors;
    s.simple = ((s.count == 4) && (p.vectors == 1)) ? 1 : 0;
    for (int32_t i = 0; i < 4; ++i) {
        s.at[i] = (square != 0) ? (((i % 2) * p.down.y_step) + ((i / 2) * p.across.y_step)) : (i * p.down.y_step);
    }
    for (int32_t c = 0; c < in_c; c += 8) {
        const int32_t count = ((in_c - c) < 8) ? (in_c - c) : 8;
        const int32_t oc = c * multiplier;
        tg_dwconv_weights(&p, &w[oc], count * multiplier, weights);
        tg_fill_mve(planes, cfg->in_zp, count * plane);
        for (int32_t i = 0; i < p.down.out; i += p.strip) {
            /* the last strip may compute some outputs of the one before again */
            const int32_t first = ((i + outputs) > p.down.out) ? (p.down.out - outputs) : i;
            int8_t *const to = &y[(first * p.down.y_step) + oc];
            tg_dwconv_fill(&p, cfg->in_zp, &x[c], count, (first * p.down.stride) - p.down.pad, rows, planes);
            for (int32_t odd = 0; odd <= (square & p.across.out & 1); ++odd) { /* 1: the last two columns again */
                const int32_t col = (odd != 0) ? (p.across.out - 2) : 0;
                s.w = weights;
                s.b = &b[oc];
                s.m = &m[oc];
                for (int32_t j = 0; j < ((multiplier == 1) ? 1 : count); ++j) {
                    s.x = &planes[(j * plane) + (col * next)];
                    s.y = &to[(col * p.across.y_step) + (j * multiplier)];
                    s.channels = (multiplier == 1) ? count : multiplier;
                    s.turns = (odd != 0) ? 1 : turns;
                    tg_dwconv_sweep(&s);
                }
            }
        }
    }
}
