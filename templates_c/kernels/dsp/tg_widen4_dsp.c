#include "tg_widen4_dsp.h"

#include "tg_isa_dsp.h"

#if TG_DSP_NAKED

#pragma GCC diagnostic ignored "-Wunused-parameter" /* the assembly uses them */
#pragma GCC diagnostic ignored "-Woverlength-strings"

/* r0-r3 the pixels, lr the window, r4-r11 data, r12 counts; s0-s3 quads, tail, runs, step */
TG_SHARED TG_NAKED void tg_widen4_dsp(const tg_tile_t *t, int16_t *window)
{
    __asm__ volatile(".syntax unified\n"
                     "push {r4-r11, lr}\n"
                     "mov lr, r1\n"
                     "add r12, r0, #40\n"
                     "ldmia r12!, {r0-r3}\n"
                     "vldmia r12, {s0-s3}\n"
                     "1:\n" /* a run */
                     "vmov r12, s0\n"
                     "cmp r12, #0\n"
                     "beq 3f\n"
                     "2:\n"
                     "ldr r4, [r0], #4\n"
                     "ldr r5, [r1], #4\n"
                     "ldr r6, [r2], #4\n"
                     "ldr r7, [r3], #4\n"
                     "sxtb16 r8, r4, ror #8\n"
                     "sxtb16 r9, r5, ror #8\n"
                     "sxtb16 r10, r6, ror #8\n"
                     "sxtb16 r11, r7, ror #8\n"
                     "sxtb16 r4, r4\n"
                     "sxtb16 r5, r5\n"
                     "sxtb16 r6, r6\n"
                     "sxtb16 r7, r7\n"
                     "stmia lr!, {r4-r11}\n"
                     "subs r12, r12, #1\n"
                     "bne 2b\n"
                     "3:\n"
                     "vmov r12, s1\n"
                     "cmp r12, #0\n"
                     "beq 5f\n"
                     "tst r12, #2\n"
                     "beq 4f\n"
                     "ldrsb r8, [r0, #1]\n"
                     "ldrsb r9, [r1, #1]\n"
                     "ldrsb r10, [r2, #1]\n"
                     "ldrsb r11, [r3, #1]\n"
                     "ldrsb r4, [r0], #2\n"
                     "ldrsb r5, [r1], #2\n"
                     "ldrsb r6, [r2], #2\n"
                     "ldrsb r7, [r3], #2\n"
                     "pkhbt r4, r4, r8, lsl #16\n"
                     "pkhbt r5, r5, r9, lsl #16\n"
                     "pkhbt r6, r6, r10, lsl #16\n"
                     "pkhbt r7, r7, r11, lsl #16\n"
                     "stmia lr!, {r4-r7}\n"
                     "4:\n"
                     "tst r12, #1\n"
                     "beq 5f\n"
                     "ldrsb r4, [r0], #1\n"
                     "ldrsb r5, [r1], #1\n"
                     "ldrsb r6, [r2], #1\n"
                     "ldrsb r7, [r3], #1\n"
                     "stmia lr!, {r4-r7}\n"
                     "5:\n"
                     "vmov r12, s2\n"
                     "subs r12, r12, #1\n"
                     "beq 6f\n"
                     "vmov s2, r12\n"
                     "vmov r12, s3\n"
                     "add r0, r0, r12\n"
                     "add r1, r1, r12\n"
                     "add r2, r2, r12\n"
                     "add r3, r3, r12\n"
                     "b 1b\n"
                     "6:\n"
                     "pop {r4-r11, pc}\n");
}

#else

TG_SHARED void tg_widen4_dsp(const tg_tile_t *t, int16_t *window)
{
    for (int32_t p = 0; p < 4; ++p) {
        const int8_t *x = t->x[p];
        int16_t *dst = &window[2 * p];
        for (int32_t r = 0; r < t->runs; ++r) {
            for (int32_t q = 0; q < t->quads; ++q) {
                dst[0] = x[0];
                dst[1] = x[2];
                dst[8] = x[1];
                dst[9] = x[3];
                dst += 16;
                x += 4;
            }
            for (int32_t i = 0; i < t->tail; i += 2) {
                dst[0] = x[i];
                dst[1] = ((i + 1) < t->tail) ? x[i + 1] : 0;
                dst += 8;
            }
            x += t->tail;
            if ((r + 1) < t->runs) {
                x += t->step;
            }
        }
    }
}

#endif
