#include "tg_conv_s8_mve.h"

#include "tg_isa_mve.h"
#include "tg_window.h"

/** Blocks of four pixels, and some channels. The assembly knows the order of the members. */
typedef struct {
    const int8_t *x[4]; /**< the K values of each pixel */
    const int32_t *w;
    int8_t *y;
    int32_t pairs;  /**< of channels */
    int32_t bytes;  /**< values before the tail: a multiple of 16 */
    uint32_t turns; /**< of a loop that does 32 of them, rounded up, and 2^31 if that was needed */
    int32_t tail;   /**< 1..16 */
    int32_t shift;  /**< 31 - the shift of the requantisation */
    int32_t zp;
    const uint16_t *at; /**< [8] where the outputs go: pixel 0 channel 0, pixel 0 channel 1, pixel 1 channel 0, ... */
    int32_t
        blocks; /**< more than one: the pixels of a block are as far from those of the next as x_block and y_block */
    int32_t x_block;
    int32_t y_block;
} tg_block_mve_t;

/**
 * Four pixels and two channels at a time: 128 products in 15 instructions, eight outputs in 23 more. Gives the end of
 * the weights it read.
 *
 * r3, r5, r7, r9: pixels; r1: weights; r11: turns; even registers: sums, since VMLADAV wants those. A pixel's pointer
 * rests at its tail, which comes first, so that nothing has to be done when a new pair of channels starts.
 */
#if TG_MVE
static TG_NOINLINE TG_NAKED const int32_t *tg_conv_block(tg_block_mve_t *block __attribute__((unused)))
{
    __asm__ volatile("push {r4-r11, lr}\n"
                     "vpush {d8-d15}\n"
                     "ldrd r2, r4, [r0, #20]\n"   /* y, pairs */
                     "ldrd r6, r8, [r0, #40]\n"   /* shift, zp */
                     "ldrd r10, r11, [r0, #28]\n" /* bytes, turns */
                     "mov r12, r0\n"
                     "push {r2, r4, r6, r8, r10, r11, r12}\n"
                     "ldr r12, [r0, #36]\n" /* tail */
                     "vctp.8 r12\n"         /* stays for all of the function */
                     "ldr r12, [r0, #48]\n"
                     "vldrh.u16 q7, [r12]\n" /* at */
                     "ldr r1, [r0, #16]\n"
                     "ldrd r7, r9, [r0, #8]\n"
                     "ldrd r3, r5, [r0]\n"
                     "add r3, r3, r10\n"
                     "add r5, r5, r10\n"
                     "add r7, r7, r10\n"
                     "add r9, r9, r10\n"
                     "1:\n"
                     "vpstttt\n"
                     "vldrbt.8 q2, [r3]\n"
                     "vldrbt.8 q3, [r5]\n"
                     "vldrbt.8 q4, [r7]\n"
                     "vldrbt.8 q5, [r9]\n"
                     "ldrd r0, r11, [sp, #16]\n"
                     "lsls r11, r11, #1\n" /* carry: enter the loop in its middle; zero: nothing but the tail */
                     "beq 2f\n"
                     "sub r3, r3, r0\n"
                     "sub r5, r5, r0\n"
                     "sub r7, r7, r0\n"
                     "sub r9, r9, r0\n"
                     "2:\n"
                     "vldrb.8 q0, [r1], #16\n"
                     "vmladav.s8 r0, q0, q2\n"
                     "vldrb.8 q1, [r1], #16\n"
                     "vmladav.s8 r2, q0, q3\n"
                     "vmladav.s8 r4, q0, q4\n"
                     "vmladav.s8 r6, q0, q5\n"
                     "vmladav.s8 r8, q1, q2\n"
                     "vmladav.s8 r10, q1, q3\n"
                     "vmladav.s8 r12, q1, q4\n"
                     "vmladav.s8 lr, q1, q5\n"
                     "beq 5f\n"
                     "bcs 4f\n"
                     "3:\n"
                     "vldrb.8 q0, [r1], #16\n"
                     "vldrb.8 q2, [r3], #16\n"
                     "vmladava.s8 r0, q0, q2\n"
                     "vldrb.8 q1, [r1], #16\n"
                     "vmladava.s8 r8, q1, q2\n"
                     "vldrb.8 q3, [r5], #16\n"
                     "vmladava.s8 r2, q0, q3\n"
                     "vldrb.8 q2, [r7], #16\n"
                     "vmladava.s8 r10, q1, q3\n"
                     "vldrb.8 q3, [r9], #16\n"
                     "vmladava.s8 r4, q0, q2\n"
                     "vmladava.s8 r12, q1, q2\n"
                     "vmladava.s8 r6, q0, q3\n"
                     "vmladava.s8 lr, q1, q3\n"
                     "4:\n"
                     "vldrb.8 q0, [r1], #16\n"
                     "vldrb.8 q2, [r3], #16\n"
                     "vmladava.s8 r0, q0, q2\n"
                     "vldrb.8 q1, [r1], #16\n"
                     "vmladava.s8 r8, q1, q2\n"
                     "vldrb.8 q3, [r5], #16\n"
                     "vmladava.s8 r2, q0, q3\n"
                     "vldrb.8 q2, [r7], #16\n"
                     "vmladava.s8 r10, q1, q3\n"
                     "vldrb.8 q3, [r9], #16\n"
                     "vmladava.s8 r4, q0, q2\n"
                     "vmladava.s8 r12, q1, q2\n"
                     "subs r11, r11, #2\n"
                     "vmladava.s8 r6, q0, q3\n"
                     "vmladava.s8 lr, q1, q3\n"
                     "bne 3b\n"
                     "5:\n"
                     "vmov d0, r0, r2\n"
                     "vmov d1, r4, r6\n"
                     "vmov d2, r8, r10\n"
                     "vmov d3, r12, lr\n"
                     "ldrd r0, r2, [r1], #8\n" /* biases */
                     "ldrd r4, r6, [r1], #8\n" /* multipliers */
                     "vadd.i32 q0, q0, r0\n"
                     "vadd.i32 q1, q1, r2\n"
                     "vqdmulh.s32 q0, q0, r4\n"
                     "vqdmulh.s32 q1, q1, r6\n"
                     "ldrd r8, r10, [sp, #8]\n" /* shift, zp */
                     "vrshl.s32 q0, r8\n"
                     "vrshl.s32 q1, r8\n"
                     "ldrd r0, r2, [sp]\n" /* y, pairs */
                     "vqmovnb.s32 q0, q0\n"
                     "vqmovnt.s32 q0, q1\n"
                     "vqadd.s16 q0, q0, r10\n"
                     "vqmovnb.s16 q0, q0\n"
                     "vstrb.16 q0, [r0, q7]\n"
                     "subs r2, r2, #1\n"
                     "add r0, r0, #2\n"
                     "strd r0, r2, [sp]\n"
                     "bne 1b\n"
                     "ldr r0, [sp, #24]\n"
                     "ldrd r2, r4, [r0, #52]\n" /* blocks, x_block */
                     "subs r2, r2, #1\n"
                     "beq 6f\n"
                     "str r2, [r0, #52]\n"
                     "add r3, r3, r4\n"
                     "add r5, r5, r4\n"
                     "add r7, r7, r4\n"
                     "add r9, r9, r4\n"
                     "ldrd r2, r4, [r0, #20]\n" /* y, pairs */
                     "ldr r6, [r0, #60]\n"
                     "ldr r1, [r0, #16]\n"
                     "add r2, r2, r6\n"
                     "str r2, [r0, #20]\n"
                     "strd r2, r4, [sp]\n"
                     "b 1b\n"
                     "6:\n"
                     "mov r0, r1\n"
                     "add sp, sp, #28\n"
                     "vpop {d8-d15}\n"
                     "pop {r4-r11, pc}\n");
}
#else
static TG_NOINLINE const int32_t *tg_conv_block(tg_block_mve_t *block __attribute__((unused)))
{
    const int8_t *w = (const int8_t *)block->w;
    for (int32_t i = 0; i < block->blocks; ++i) {
        w = (const int8_t *)block->w;
        for (int32_t pair = 0; pair < block->pairs; ++pair) {
            int32_t sums[8] = {0};
            const int32_t *ends;
            for (int32_t turn = -1; turn < (block->bytes / 16); ++turn) {
                const int32_t at = (turn < 0) ? block->bytes : (16 * turn);
                const int32_t n = (turn < 0) ? block->tail : 16;
                for (int32_t j = 0; j < 8; ++j) {
                    const int8_t *const x = &block->x[j / 2][at + (i * block->x_block)];
                    for (int32_t t = 0; t < n; ++t) {
                        sums[j] += w[(16 * (j % 2)) + t] * x[t];
                    }
                }
                w += 32;
            }
            ends = (const int32_t *)(const void *)w;
            for (int32_t j = 0; j < 8; ++j) {
                const int32_t acc = tg_add_wrap_mve(sums[j], ends[j % 2]);
                const int32_t v = tg_requant_mve(acc, ends[2 + (j % 2)], 31 - block->shift);
                block->y[block->at[j] + (2 * pair) + (i * block->y_block)] = tg_narrow_mve(v, block->zp);
            }
            w += 16;
        }
    }
    return (const int32_t *)(const void *)w;
}
#endif

/** Windows as runs of bytes. The assembly knows the order of the members. */
typedef struct {
    int32_t runs;      /**< of a window, >= 1 */
    int32_t n;         /**< bytes of a run, >= 1 */
    int32_t from_step; /**< from run to run */
    int32_t to_step;
    int32_t from_next; /**< from window to window */
    int32_t to_next;
} tg_runs_t;

/** Copy `windows` >= 1 windows: 6 instructions for a run of up to 16 bytes, else 5 and 3 for every 16. */
#if TG_MVE
static TG_NOINLINE TG_NAKED void tg_conv_copy(const tg_runs_t *r __attribute__((unused)),
                                              const int8_t *from __attribute__((unused)),
                                              int8_t *to __attribute__((unused)),
                                              int32_t windows __attribute__((unused)))
{
    __asm__ volatile("push {r4-r11, lr}\n"
                     "ldm r0, {r4-r9}\n"
                     "cmp r5, #16\n"
                     "bgt 3f\n"
                     "vctp.8 r5\n"
                     "1: mov r0, r1\n"
                     "mov r10, r2\n"
                     "dls lr, r4\n"
                     "2: vpstt\n"
                     "vldrbt.8 q0, [r0]\n"
                     "vstrbt.8 q0, [r10]\n"
                     "add r0, r0, r6\n"
                     "add r10, r10, r7\n"
                     "le lr, 2b\n"
                     "add r1, r1, r8\n"
                     "add r2, r2, r9\n"
                     "subs r3, r3, #1\n"
                     "bne 1b\n"
                     "pop {r4-r11, pc}\n"
                     "3: add r0, r5, #15\n" /* whole vectors are behind the pointers after a run */
                     "bic r0, r0, #15\n"
                     "sub r6, r6, r0\n"
                     "sub r7, r7, r0\n"
                     "4: mov r0, r1\n"
                     "mov r10, r2\n"
                     "mov r11, r4\n"
                     "5: dlstp.8 lr, r5\n"
                     "6: vldrb.8 q0, [r0], #16\n"
                     "vstrb.8 q0, [r10], #16\n"
                     "letp lr, 6b\n"
                     "add r0, r0, r6\n"
                     "add r10, r10, r7\n"
                     "subs r11, r11, #1\n"
                     "bne 5b\n"
                     "add r1, r1, r8\n"
                     "add r2, r2, r9\n"
                     "subs r3, r3, #1\n"
                     "bne 4b\n"
                     "pop {r4-r11, pc}\n");
}
#else
static TG_NOINLINE void tg_conv_copy(const tg_runs_t *r, const int8_t *from, int8_t *to, int32_t windows)
{
    for (int32_t i = 0; i < windows; ++i) {
        for (int32_t j = 0; j < r->runs; ++j) {
            (void)memcpy(&to[(i * r->to_next) + (j * r->to_step)], &from[(i * r->from_next) + (j * r->from_step)],
                         (size_t)r->n);
        }
    }
}
#endif

/** How windows lie in the image. */
typedef struct {
    const tg_conv_s8_cfg_t *cfg;
    int32_t row;    /**< bytes of an image row */
    int32_t tap;    /**< bytes of a tap */
    int32_t near;   /**< not 0: the taps of a kernel row are neighbours in the image */
    int32_t last_y; /**< the last window wholly inside starts here */
    int32_t last_x;
    tg_runs_t runs; /**< of a window wholly inside; unless `near`, of one of its kernel rows */
} tg_windows_t;

/** Gather `windows` neighbours wholly inside. */
static inline void tg_conv_inside(const tg_windows_t *l, const int8_t *from, int8_t *to, int32_t windows)
{
    const int32_t rows = (l->near != 0) ? 1 : l->cfg->k_h;
    for (int32_t i = 0; i < rows; ++i) {
        tg_conv_copy(&l->runs, from, to, windows);
        from += l->cfg->dil_h * l->row;
        to += l->cfg->k_w * l->tap;
    }
}

/** Gather a window at the border, whose first tap is at (iy, ix), image position `from`. */
static TG_NOINLINE void tg_conv_border(const tg_windows_t *l, int32_t iy, int32_t ix, const int8_t *from, int8_t *to)
{
    const tg_conv_s8_cfg_t *const cfg = l->cfg;
    const tg_taps_t ky = tg_taps_inside(iy, cfg->in_h, cfg->k_h, cfg->dil_h);
    const tg_taps_t kx = tg_taps_inside(ix, cfg->in_w, cfg->k_w, cfg->dil_w);
    const int32_t rows = ky.end - ky.first;
    const int32_t cols = kx.end - kx.first;
    const int32_t span = cfg->k_w * l->tap;
    tg_runs_t r = l->runs;
    tg_fill_mve(to, cfg->in_zp, r.to_next);
    if ((rows > 0) && (cols > 0)) {
        from += (ky.first * cfg->dil_h * l->row) + (kx.first * cfg->dil_w * cfg->in_c);
        to += (ky.first * span) + (kx.first * l->tap);
        if (l->near != 0) {
            r.runs = rows;
            r.n = cols * l->tap;
            tg_conv_copy(&r, from, to, 1);
        } else {
            r.runs = cols;
            for (int32_t i = 0; i < rows; ++i) {
                tg_conv_copy(&r, &from[i * cfg->dil_h * l->row], &to[i * span], 1);
            }
        }
    }
}

/** Places of the outputs of `count` pixels and, where that is less than four, of the last one again. */
static void tg_conv_places(uint16_t at[8], int32_t count, int32_t out_c, int32_t second)
{
    for (int32_t i = 0; i < 4; ++i) {
        const int32_t place = ((i < count) ? i : (count - 1)) * out_c;
        at[2 * i] = (uint16_t)place;
        at[(2 * i) + 1] = (uint16_t)(place + second);
    }
}

/** All channels of a group for `blocks` blocks of four pixels; `at`: for pairs of channels and for a single one. */
static TG_NOINLINE const int32_t *tg_conv_channels(tg_block_mve_t *block, const int32_t *w, const uint16_t at[16],
                                                   int32_t channels, int32_t blocks, int8_t *y)
{
    if (channels > 1) {
        block->w = w;
        block->y = y;
        block->pairs = channels / 2;
        block->at = at;
        block->blocks = blocks;
        w = tg_conv_block(block);
    }
    if ((channels % 2) != 0) {
        block->w = w;
        block->y = &y[channels - 1];
        block->pairs = 1;
        block->at = &at[8];
        block->blocks = blocks;
        w = tg_conv_block(block);
    }
    return w;
}

TG_SHARED void tg_conv_s8_mve(const tg_conv_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, int16_t *scratch,
                              int8_t *y)
{
    const int32_t in_c = cfg->in_c;
    const int32_t out_c = cfg->out_c;
    const int32_t group_out = out_c / cfg->groups;
    const int32_t tap = in_c / cfg->groups;
    const int32_t row = cfg->in_w * in_c;
    const int32_t k = cfg->k_h * cfg->k_w * tap;
    const int32_t turns = (k - 1) / 16;
    const int32_t size = 16 * (turns + 1);
    const int32_t pixels = cfg->out_h * cfg->out_w;
    const int32_t near = ((cfg->k_w == 1U) || ((cfg->dil_w == 1U) && (cfg->groups == 1U))) ? 1 : 0;
    const int32_t x_step = cfg->stride_w;
    const int32_t x_next = x_step * in_c;
    const int32_t x_down = (cfg->stride_h * row) - (cfg->out_w * x_next);
    const tg_runs_t joined = {cfg->k_h, cfg->k_w * tap, cfg->dil_h * row, cfg->k_w * tap, x_next, size};
    const tg_runs_t apart = {cfg->k_w, tap, cfg->dil_w * in_c, tap, x_next, size};
    const tg_windows_t l = {cfg,
                            row,
                            tap,
                            near,
                            cfg->in_h - (((cfg->k_h - 1) * cfg->dil_h) + 1),
                            cfg->in_w - (((cfg->k_w - 1) * cfg->dil_w) + 1),
                            (near != 0) ? joined : apart};
    /* a window of one kernel row is read where it lies */
    const int32_t direct = ((cfg->k_h == 1U) && (near != 0)) ? 1 : 0;
    /* all pixels of the image are equally far apart, and inside: one row */
    const int32_t even =
        ((direct != 0) && ((x_down == 0) || (cfg->out_h == 1U)) && (cfg->pad_top == 0U) && (cfg->pad_left == 0U) &&
         (((cfg->out_h - 1) * cfg->stride_h) <= l.last_y) && (((cfg->out_w - 1) * x_step) <= l.last_x))
            ? 1
            : 0;
    const int32_t row_pixels = (even != 0) ? pixels : cfg->out_w;
    const int32_t last_x = (even != 0) ? INT32_MAX : l.last_x;
    uint16_t at[16]; /* of a pair of channels, and of a single one */
    tg_block_mve_t block;
    block.bytes = 16 * turns;
    block.turns = (((uint32_t)turns + 1U) / 2U) | (((uint32_t)turns & 1U) << 31);
    block.tail = k - block.bytes;
    block.shift = 31 - cfg->shift;
    block.zp = cfg->out_zp;
    block.x_block = 4 * x_next;
    block.y_block = 4 * out_c;
    for (int32_t g = 0; g < cfg->groups; ++g) {
        const int32_t *end = w;
        int8_t *to = &y[g * group_out];
        int32_t iy = -cfg->pad_top;
        int32_t ix = -cfg->pad_left;
        const int8_t *from = &x[(iy * row) + (ix * in_c) + (g * tap)];
        int32_t left = row_pixels; /* pixels of the row still to come */
        tg_conv_places(at, 4, out_c, 1);
        tg_conv_places(&at[8], 4, out_c, 0);
        int32_t p = 0;
        if ((even != 0) && (pixels >= 4)) {
            p = pixels & ~3;
            for (int32_t i = 0; i < 4; ++i) {
                block.x[i] = &from[i * x_next];
            }
            end = tg_conv_channels(&block, w, at, group_out, p / 4, to);
            from += p * x_next;
            left -= p;
            to += p * out_c;
        }
        for (; p < pixels; p += 4) {
            int32_t count = pixels - p;
            int8_t *slot = (int8_t *)scratch;
            int32_t i = 0;
            if (count > 4) {
                count = 4;
            }
            while (i < count) {
                /* as many as are neighbours and inside, else one */
                int32_t n = ((count - i) < left) ? (count - i) : left;
                const int32_t inside = ((iy >= 0) && (ix >= 0) && (iy <= l.last_y)) ? last_x : INT32_MIN;
                const int8_t *window = slot;
                int32_t next = size;
                if (inside < (ix + ((n - 1) * x_step))) {
                    n = 1;
                }
                if (inside < ix) {
                    tg_conv_border(&l, iy, ix, from, slot);
                    slot += size;
                } else if (direct != 0) {
                    window = from;
                    next = x_next;
                } else {
                    tg_conv_inside(&l, from, slot, n);
                    slot += n * size;
                }
                from += n * x_next;
                ix += n * x_step;
                left -= n;
                for (; n > 0; --n) {
                    block.x[i] = window;
                    window += next;
                    ++i;
                }
                if (left == 0) {
                    left = row_pixels;
                    ix = -cfg->pad_left;
                    iy += cfg->stride_h;
                    from += x_down;
                }
            }
            if (count < 4) { /* behind the last pixel: the last one again, to the same place */
                for (; i < 4; ++i) {
                    block.x[i] = block.x[count - 1];
                }
                tg_conv_places(at, count, out_c, 1);
                tg_conv_places(&at[8], count, out_c, 0);
            }
            end = tg_conv_channels(&block, w, at, group_out, 1, to);
            to += 4 * out_c;
        }
        w = end;
    }
    tg_clamp_mve(y, pixels * out_c, cfg->lo, cfg->hi);
}
