#include "tg_conv_s8_mve.h"

#include "tg_isa_mve.h"
#include "tg_window.h"

/** Four pixels and some channels. The assembly knows the order of the members. */
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
} tg_block_mve_t;

/**
 * Four pixels and two channels at a time: 128 products in 15 instructions, eight outputs in 23 more. Gives the end of
 * the weights it read.
 *
 * r3, r5, r7, r9: pixels; r1: weights; r11: turns; even registers: sums, since VMLADAV wants those. A pixel's pointer
 * rests at its tail, which comes first, so that nothing has to be done when a new pair of channels starts.
 */
#if TG_MVE
static TG_NOINLINE TG_NAKED const int32_t *tg_conv_block(const tg_block_mve_t *block __attribute__((unused)))
{
    __asm__ volatile("push {r4-r11, lr}\n"
                     "vpush {d8-d15}\n"
                     "ldrd r2, r4, [r0, #20]\n" /* y, pairs */
                     "ldrd r6, r8, [r0, #40]\n" /* shift, zp */
                     "ldrd r10, r11, [r0, #28]\n" /* bytes, turns */
                     "push {r2, r4, r6, r8, r10, r11}\n"
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
                     "mov r0, r1\n"
                     "add sp, sp, #24\n"
                     "vpop {d8-d15}\n"
                     "pop {r4-r11, pc}\n");
}
#else
static TG_NOINLINE const int32_t *tg_conv_block(const tg_block_mve_t *block __attribute__((unused)))
{
    const int8_t *w = (const int8_t *)block->w;
    for (int32_t pair = 0; pair < block->pairs; ++pair) {
        int32_t sums[8] = {0};
        const int32_t *ends;
        for (int32_t turn = -1; turn < (block->bytes / 16); ++turn) {
            const int32_t at = (turn < 0) ? block->bytes : (16 * turn);
            const int32_t n = (turn < 0) ? block->tail : 16;
            for (int32_t j = 0; j < 8; ++j) {
                for (int32_t i = 0; i < n; ++i) {
                    sums[j] += w[(16 * (j % 2)) + i] * block->x[j / 2][at + i];
                }
            }
            w += 32;
        }
        ends = (const int32_t *)(const void *)w;
        for (int32_t j = 0; j < 8; ++j) {
            const int32_t acc = tg_add_wrap_mve(sums[j], ends[j % 2]);
            const int32_t v = tg_requant_mve(acc, ends[2 + (j % 2)], 31 - block->shift);
            block->y[block->at[j] + (2 * pair)] = tg_narrow_mve(v, block->zp);
        }
        w += 16;
    }
    return (const int32_t *)(const void *)w;
}
#endif

/** The windows of a layer, a group's channels of it. */
typedef struct {
    const tg_conv_s8_cfg_t *cfg;
    const int8_t *x; /**< at the group's first channel */
    int32_t taps;    /**< of a kernel row that are neighbours in the image: all or one */
    int32_t tap;     /**< bytes of a tap */
    int32_t whole;   /**< not 0: a window is one piece of the image */
} tg_windows_t;

/** The window whose first tap is at (iy, ix): where it lies in the image, or gathered in `slot`. */
static const int8_t *tg_conv_window(const tg_windows_t *l, int32_t iy, int32_t ix, int8_t *slot)
{
    const tg_conv_s8_cfg_t *const cfg = l->cfg;
    const int32_t row = cfg->in_w * cfg->in_c;
    const int8_t *from = &l->x[(iy * row) + (ix * cfg->in_c)];
    const int32_t inside = ((iy >= 0) && (ix >= 0) && ((iy + ((cfg->k_h - 1) * cfg->dil_h)) < cfg->in_h) &&
                            ((ix + ((cfg->k_w - 1) * cfg->dil_w)) < cfg->in_w))
                               ? 1
                               : 0;
    const int8_t *window = slot;
    if ((inside != 0) && (l->whole != 0)) {
        window = from;
    } else {
        const tg_taps_t all = {0, cfg->k_w};
        const tg_taps_t kx = (inside != 0) ? all : tg_taps_inside(ix, cfg->in_w, cfg->k_w, cfg->dil_w);
        const int32_t left = kx.first * l->tap;
        const int32_t right = (cfg->k_w - kx.end) * l->tap;
        const int32_t run = (l->taps > 1) ? ((kx.end - kx.first) * l->tap) : l->tap;
        const int32_t runs = (l->taps > 1) ? 1 : (kx.end - kx.first);
        const int32_t step = cfg->dil_w * cfg->in_c;
        from += kx.first * step;
        for (int32_t ky = cfg->k_h; ky > 0; --ky) {
            if ((uint32_t)iy < cfg->in_h) {
                const int8_t *v = from;
                if (left > 0) {
                    slot = tg_fill_mve(slot, cfg->in_zp, left);
                }
                for (int32_t n = runs; n > 0; --n) {
                    slot = tg_copy_mve(slot, v, run);
                    v += step;
                }
                if (right > 0) {
                    slot = tg_fill_mve(slot, cfg->in_zp, right);
                }
            } else {
                slot = tg_fill_mve(slot, cfg->in_zp, cfg->k_w * l->tap);
            }
            iy += cfg->dil_h;
            from += cfg->dil_h * row;
        }
    }
    return window;
}

TG_SHARED void tg_conv_s8_mve(const tg_conv_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, int16_t *scratch,
                              int8_t *y)
{
    const int32_t out_c = cfg->out_c;
    const int32_t group_out = out_c / cfg->groups;
    const int32_t tap = cfg->in_c / cfg->groups;
    const int32_t taps = ((cfg->dil_w == 1U) && (cfg->groups == 1U)) ? cfg->k_w : 1;
    const int32_t k = cfg->k_h * cfg->k_w * tap;
    const int32_t turns = (k - 1) / 16;
    const int32_t pixels = cfg->out_h * cfg->out_w;
    const int32_t whole = ((cfg->k_h == 1U) && (taps == cfg->k_w)) ? 1 : 0;
    tg_windows_t windows = {cfg, x, taps, tap, whole};
    uint16_t at[2][8]; /* of a pair of channels, and of a single one */
    tg_block_mve_t block;
    block.bytes = 16 * turns;
    block.turns = ((uint32_t)turns + 1U) / 2U;
    block.turns |= ((uint32_t)turns & 1U) << 31;
    block.tail = k - block.bytes;
    block.shift = 31 - cfg->shift;
    block.zp = cfg->out_zp;
    for (int32_t g = 0; g < cfg->groups; ++g) {
        const int32_t *end = w;
        int8_t *to = &y[g * group_out];
        int32_t oy = -cfg->pad_top;
        int32_t ox = 0;
        for (int32_t p = 0; p < pixels; p += 4) {
            /* behind the last pixel: the last one again, to the same place */
            const int32_t count = ((pixels - p) < 4) ? (pixels - p) : 4;
            int8_t *slot = (int8_t *)scratch;
            for (int32_t i = 0; i < 4; ++i) {
                if (i < count) {
                    block.x[i] = tg_conv_window(&windows, oy, (ox * cfg->stride_w) - cfg->pad_left, slot);
                    slot += 16 * (turns + 1);
                    ++ox;
                    if (ox == cfg->out_w) {
                        ox = 0;
                        oy += cfg->stride_h;
                    }
                } else {
                    block.x[i] = block.x[i - 1];
                }
            }
            if ((p == 0) || (count < 4)) {
                for (int32_t i = 0; i < 4; ++i) {
                    const int32_t place = ((i < count) ? i : (count - 1)) * out_c;
                    at[0][2 * i] = (uint16_t)place;
                    at[0][(2 * i) + 1] = (uint16_t)(place + 1);
                    at[1][2 * i] = (uint16_t)place;
                    at[1][(2 * i) + 1] = (uint16_t)place;
                }
            }
            block.w = w;
            block.y = to;
            block.pairs = group_out / 2;
            block.at = at[0];
            end = w;
            if (block.pairs > 0) {
                end = tg_conv_block(&block);
            }
            if ((group_out % 2) != 0) {
                block.w = end;
                block.y = &to[group_out - 1];
                block.pairs = 1;
                block.at = at[1];
                end = tg_conv_block(&block);
            }
            to += 4 * out_c;
        }
        w = end;
        windows.x += tap;
    }
    tg_clamp_mve(y, pixels * out_c, cfg->lo, cfg->hi);
}
