/**
 * @file  tg_add_small.h
 * @brief Element-wise sum, for cores without SIMD.
 */
#ifndef TG_ADD_SMALL_H_INCLUDED
#define TG_ADD_SMALL_H_INCLUDED

#include "tg_add_s8.h"
#include "tg_numerics.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The assembly reads it by offset. */
typedef struct {
    const int8_t *a;
    const int8_t *b;
    int8_t *y;
    int32_t n;
    int32_t ma;
    int32_t mb;
    int32_t c;
    uint32_t shift;
} tg_add_job_t;

/** y = clamp((c + a * ma + b * mb) >> shift, -128, 127) */
static TG_NOINLINE void tg_add_run(const tg_add_job_t *job)
{
#if defined(__GNUC__) && defined(__thumb__) && TG_SMALL_CORE
    register const tg_add_job_t *r0 __asm__("r0") = job;
    __asm__ volatile(".syntax unified\n"
                     "push  {r4-r7, lr}\n"
                     "ldr   r1, [r0, #24]\n"
                     "mov   r12, r1\n" /* c */
                     "ldr   r1, [r0, #28]\n"
                     "mov   lr, r1\n" /* shift */
                     "ldmia r0!, {r1-r6}\n"
                     "adds  r1, r1, r4\n" /* a, b, y: their ends; r4 = index from the end */
                     "adds  r2, r2, r4\n"
                     "adds  r3, r3, r4\n"
                     "rsbs  r4, r4, #0\n"
                     "1:\n"
                     "ldrsb r0, [r1, r4]\n"
                     "muls  r0, r5, r0\n"
                     "ldrsb r7, [r2, r4]\n"
                     "muls  r7, r6, r7\n"
                     "adds  r0, r0, r7\n"
                     "add   r0, r12\n"
                     "mov   r7, lr\n"
                     "asrs  r0, r0, r7\n"
                     "sxtb  r7, r0\n"
                     "cmp   r0, r7\n"
                     "bne   3f\n"
                     "2:\n"
                     "strb  r0, [r3, r4]\n"
                     "adds  r4, r4, #1\n"
                     "bne   1b\n"
                     "b     4f\n"
                     "3:\n" /* 127 or -128 */
                     "asrs  r0, r0, #31\n"
                     "movs  r7, #127\n"
                     "eors  r0, r7\n"
                     "b     2b\n"
                     "4:\n"
                     "pop   {r4-r7}\n"
                     "pop   {r3}\n"
                     "mov   lr, r3\n"
                     : "+r"(r0)
                     :
                     : "r1", "r2", "r3", "r12", "cc", "memory");
#elif defined(__GNUC__) && defined(__thumb2__)
    register const tg_add_job_t *r0 __asm__("r0") = job;
    __asm__ volatile(".syntax unified\n"
                     "push  {r4-r9}\n"
                     "ldm   r0, {r0-r7}\n" /* a, b, y, n, ma, mb, c, shift */
                     "add   r3, r2\n"
                     "1:\n"
                     "ldrsb r8, [r0], #1\n"
                     "ldrsb r9, [r1], #1\n"
                     "mla   r8, r8, r4, r6\n"
                     "mla   r8, r9, r5, r8\n"
                     "asr   r8, r8, r7\n"
                     "ssat  r8, #8, r8\n"
                     "strb  r8, [r2], #1\n"
                     "cmp   r2, r3\n"
                     "bne   1b\n"
                     "pop   {r4-r9}\n"
                     : "+r"(r0)
                     :
                     : "r1", "r2", "r3", "r12", "cc", "memory");
#else
    for (int32_t i = 0; i < job->n; ++i) {
        const int32_t v = job->c + (job->a[i] * job->ma) + (job->b[i] * job->mb);
        job->y[i] = (int8_t)tg_clamp(v >> job->shift, -128, 127);
    }
#endif
}

static inline void tg_add_small(const tg_add_s8_cfg_t *cfg, const int8_t *a, const int8_t *b, int8_t *y)
{
    const tg_add_job_t job = {a, b, y, (int32_t)cfg->n, cfg->ma, cfg->mb, cfg->c, cfg->shift};
    const int32_t lo = cfg->lo;
    const int32_t hi = cfg->hi;
    tg_add_run(&job);
    if ((lo > -128) || (hi < 127)) { /* rare: a rectifier ends at -128 in nearly every network */
        for (int32_t i = 0; i < job.n; ++i) {
            y[i] = (int8_t)tg_clamp(y[i], lo, hi);
        }
    }
}

#ifdef __cplusplus
}
#endif

#endif /* TG_ADD_SMALL_H_INCLUDED */
