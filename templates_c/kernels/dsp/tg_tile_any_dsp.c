#include "tg_tile_any_dsp.h"

#include "tg_isa_dsp.h"

#if TG_DSP_NAKED

#pragma GCC diagnostic ignored "-Wunused-parameter" /* the assembly uses them */
#pragma GCC diagnostic ignored "-Woverlength-strings"

/*
 * r0-r3 sums of the even channel, r4-r7 of the odd one (raw: 256 times plus the even sum), r8, r9 activations, r10
 * their pointer, r11 even weights, r12 raw weights, lr their stream. Only two activations are held at a time: a cycle
 * more for a pair of taps than where the stack pointer points to them. The loop has eight pairs of 56 bytes each, and
 * is entered in the middle: s10 says where.
 */
TG_SHARED TG_NAKED void tg_tile_any_dsp(const tg_tile_t *t, const int32_t *w, int8_t *y)
{
    __asm__ volatile(".syntax unified\n"
                     "push {r3-r11, lr}\n"
                     "mov r4, r0\n"
                     "mov r5, r1\n"
                     "mov r6, r2\n"
                     "ldr r1, [r0, #36]\n"
                     "ldr r3, [r0]\n"
                     "blx r3\n"
                     "adds r4, r4, #4\n"
                     "vldmia r4!, {s1-s8}\n" /* w_end, offset, shift, y_pixel, y_channel, pair_bytes */
                     "vldr s11, [r4]\n"      /* window */
                     "vmov s0, r6\n"
                     "mov lr, r5\n"
                     "vmov r0, s8\n"
                     "rsb r0, r0, #0\n"
                     "and r0, r0, #28\n"
                     "movs r1, #14\n"
                     "adr r2, 3f\n"
                     "mla r0, r0, r1, r2\n"
                     "orr r0, r0, #1\n"
                     "vmov s10, r0\n"
                     "1:\n" /* two channels */
                     "vmov r12, s8\n"
                     "ldr r0, [lr], #4\n"
                     "ldr r4, [lr], #4\n"
                     "add r12, r12, lr\n"
                     "vmov r10, s11\n"
                     "vmov s9, r12\n"
                     "vmov r12, s10\n"
                     "mov r1, r0\n"
                     "mov r2, r0\n"
                     "mov r3, r0\n"
                     "mov r5, r4\n"
                     "mov r6, r4\n"
                     "mov r7, r4\n"
                     "bx r12\n"
                     ".balign 4\n"
                     "3:\n"
                     ".rept 8\n"
                     "ldr r12, [lr], #4\n"
                     "ldr r8, [r10], #4\n"
                     "ldr r9, [r10], #4\n"
                     "sxtb16 r11, r12\n"
                     "smlad r4, r12, r8, r4\n"
                     "smlad r5, r12, r9, r5\n"
                     "smlad r0, r11, r8, r0\n"
                     "smlad r1, r11, r9, r1\n"
                     "ldr r8, [r10], #4\n"
                     "ldr r9, [r10], #4\n"
                     "smlad r6, r12, r8, r6\n"
                     "smlad r7, r12, r9, r7\n"
                     "smlad r2, r11, r8, r2\n"
                     "smlad r3, r11, r9, r3\n"
                     ".endr\n"
                     "vmov r12, s9\n"
                     "cmp lr, r12\n"
                     "bne.w 3b\n"
                     "ldr r8, [lr], #4\n" /* m of the even channel, m / 256 of the odd one */
                     "ldr r9, [lr], #4\n"
                     "vmov r10, s2\n"
                     "vmov r11, s3\n"
                     "sub r4, r4, r0\n"
                     "sub r5, r5, r1\n"
                     "sub r6, r6, r2\n"
                     "sub r7, r7, r3\n"
                     "smmla r0, r0, r8, r10\n"
                     "smmla r1, r1, r8, r10\n"
                     "smmla r2, r2, r8, r10\n"
                     "smmla r3, r3, r8, r10\n"
                     "smmla r4, r4, r9, r10\n"
                     "smmla r5, r5, r9, r10\n"
                     "smmla r6, r6, r9, r10\n"
                     "smmla r7, r7, r9, r10\n"
                     "asr r0, r0, r11\n"
                     "asr r1, r1, r11\n"
                     "asr r2, r2, r11\n"
                     "asr r3, r3, r11\n"
                     "asr r4, r4, r11\n"
                     "asr r5, r5, r11\n"
                     "asr r6, r6, r11\n"
                     "asr r7, r7, r11\n"
                     "ssat r0, #8, r0\n"
                     "ssat r1, #8, r1\n"
                     "ssat r2, #8, r2\n"
                     "ssat r3, #8, r3\n"
                     "ssat r4, #8, r4\n"
                     "ssat r5, #8, r5\n"
                     "ssat r6, #8, r6\n"
                     "ssat r7, #8, r7\n"
                     "vmov r12, s0\n"
                     "vmov r8, s4\n"
                     "vmov r9, s5\n"
                     "vmov r10, s6\n"
                     "vmov r11, s7\n"
                     "strb r0, [r12]\n"
                     "strb r1, [r12, r8]\n"
                     "strb r2, [r12, r9]\n"
                     "strb r3, [r12, r10]\n"
                     "add r12, r12, r11\n"
                     "strb r4, [r12]\n"
                     "strb r5, [r12, r8]\n"
                     "strb r6, [r12, r9]\n"
                     "strb r7, [r12, r10]\n"
                     "add r12, r12, r11\n"
                     "vmov r10, s1\n"
                     "vmov s0, r12\n"
                     "cmp lr, r10\n"
                     "bne.w 1b\n"
                     "pop {r3-r11, pc}\n");
}

#else

TG_SHARED void tg_tile_any_dsp(const tg_tile_t *t, const int32_t *w, int8_t *y)
{
    const int32_t pairs = t->pair_bytes / 4;
    t->fill(t, t->window);
    while (w != t->w_end) {
        for (int32_t p = 0; p < 4; ++p) {
            int32_t even = w[0];
            int32_t odd = w[1];
            for (int32_t i = 0; i < pairs; ++i) {
                const uint32_t x = tg_load32(&t->window[2 * ((4 * i) + p)]);
                odd = tg_smlad((uint32_t)w[2 + i], x, odd);
                even = tg_smlad(tg_sxtb16((uint32_t)w[2 + i]), x, even);
            }
            odd = (int32_t)((uint32_t)odd - (uint32_t)even);
            int8_t *const to = &y[(p == 0) ? 0 : t->y_pixel[p - 1]];
            to[0] = (int8_t)tg_ssat8(tg_smmla(even, w[2 + pairs], t->offset) >> t->shift);
            to[t->y_channel] = (int8_t)tg_ssat8(tg_smmla(odd, w[3 + pairs], t->offset) >> t->shift);
        }
        w += pairs + 4;
        y += 2 * t->y_channel;
    }
}

#endif
