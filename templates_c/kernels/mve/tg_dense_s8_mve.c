#include "tg_dense_s8_mve.h"

#include "tg_isa_mve.h"

/** One row of inputs and all outputs. The assembly knows the order of the members. */
typedef struct {
    const int8_t *x;
    int32_t whole; /**< inputs before the tail: a multiple of 16 */
    int32_t turns; /**< whole / 16 */
    int32_t tail;  /**< 1..16 */
    int32_t n_out;
    int32_t shift; /**< 31 - the shift of the requantisation */
    int32_t zp;
    int32_t lo;
    int32_t hi;
} tg_row_mve_t;

/** Four outputs at a time: 64 products in 10 instructions. r1: inputs; r3: constants; r5: outputs; even: sums. */
#if TG_MVE
static TG_NOINLINE TG_NAKED void tg_dense_row(const tg_row_mve_t *row __attribute__((unused)),
                                              const int32_t *w __attribute__((unused)),
                                              int8_t *y __attribute__((unused)))
{
    __asm__ volatile("push {r4-r11, lr}\n"
                     "vpush {d8-d15}\n"
                     "mov r3, r1\n"
                     "mov r5, r2\n"
                     "ldr r4, [r0, #12]\n"
                     "vctp.8 r4\n"
                     "ldrd r1, r7, [r0]\n" /* x, whole */
                     "add r8, r1, r7\n"
                     "vpst\n"
                     "vldrbt.8 q7, [r8]\n"       /* the tail of the inputs, zeros behind */
                     "ldr r8, [r0, #8]\n"        /* turns */
                     "ldrd r9, r10, [r0, #16]\n" /* n_out, shift */
                     "ldrd r11, r2, [r0, #24]\n" /* zp, lo */
                     "vdup.32 q5, r2\n"
                     "ldr r2, [r0, #32]\n"
                     "vdup.32 q6, r2\n"
                     "1:\n"
                     "vldrb.8 q0, [r3, #32]\n"
                     "vldrb.8 q1, [r3, #48]\n"
                     "vmladav.s8 r0, q0, q7\n"
                     "vldrb.8 q2, [r3, #64]\n"
                     "vmladav.s8 r2, q1, q7\n"
                     "vldrb.8 q3, [r3, #80]\n"
                     "vmladav.s8 r4, q2, q7\n"
                     "vmladav.s8 r6, q3, q7\n"
                     "add r12, r3, #96\n"
                     "wls lr, r8, 3f\n"
                     "2:\n"
                     "vldrb.8 q4, [r1], #16\n"
                     "vldrb.8 q0, [r12], #16\n"
                     "vmladava.s8 r0, q0, q4\n"
                     "vldrb.8 q1, [r12], #16\n"
                     "vmladava.s8 r2, q1, q4\n"
                     "vldrb.8 q2, [r12], #16\n"
                     "vmladava.s8 r4, q2, q4\n"
                     "vldrb.8 q3, [r12], #16\n"
                     "vmladava.s8 r6, q3, q4\n"
                     "le lr, 2b\n"
                     "3:\n"
                     "vmov d0, r0, r2\n"
                     "vmov d1, r4, r6\n"
                     "vldrw.32 q1, [r3]\n"      /* biases */
                     "vldrw.32 q2, [r3, #16]\n" /* multipliers */
                     "vadd.i32 q0, q0, q1\n"
                     "vqdmulh.s32 q0, q0, q2\n"
                     "vrshl.s32 q0, r10\n"
                     "vadd.i32 q0, q0, r11\n"
                     "vmax.s32 q0, q0, q5\n"
                     "vmin.s32 q0, q0, q6\n"
                     "vctp.32 r9\n" /* outputs left */
                     "vpst\n"
                     "vstrbt.32 q0, [r5], #4\n"
                     "sub r1, r1, r7\n"
                     "mov r3, r12\n"
                     "subs r9, r9, #4\n"
                     "bgt 1b\n"
                     "vpop {d8-d15}\n"
                     "pop {r4-r11, pc}\n");
}
#else
static TG_NOINLINE void tg_dense_row(const tg_row_mve_t *row, const int32_t *w, int8_t *y)
{
    for (int32_t o = 0; o < row->n_out; o += 4) {
        const int8_t *const v = (const int8_t *)&w[8];
        for (int32_t j = 0; (j < 4) && ((o + j) < row->n_out); ++j) {
            int32_t acc = w[j];
            for (int32_t i = 0; i < (row->whole + row->tail); ++i) {
                const int32_t turn = (i < row->whole) ? (1 + (i / 16)) : 0;
                acc = tg_add_wrap_mve(acc, v[(64 * turn) + (16 * j) + (i % 16)] * row->x[i]);
            }
            acc = row->zp + tg_requant_mve(acc, w[4 + j], 31 - row->shift);
            acc = (acc < row->lo) ? row->lo : ((acc > row->hi) ? row->hi : acc);
            y[o + j] = (int8_t)acc;
        }
        w += 8 + (16 * (row->turns + 1));
    }
}
#endif

TG_SHARED void tg_dense_s8_mve(const tg_dense_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, int8_t *y)
{
    const int32_t turns = ((int32_t)cfg->n_in - 1) / 16;
    tg_row_mve_t row = {
        x,           16 * turns, turns,  (int32_t)cfg->n_in - (16 * turns), (int32_t)cfg->n_out, 31 - cfg->shift,
        cfg->out_zp, cfg->lo,    cfg->hi};
    for (uint32_t r = 0U; r < cfg->rows; ++r) {
        tg_dense_row(&row, w, y);
        row.x += cfg->n_in;
        y += cfg->n_out;
    }
}
