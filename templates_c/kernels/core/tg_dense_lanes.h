/**
 * @file  tg_dense_lanes.h
 * @brief Dense layer for cores without SIMD: two channels in the two halves of every product.
 *
 * A word holds the weights of four channels as bytes u = w + 128. x * word sums all four, 8 bits apart; x * (its odd
 * bytes) sums channels 1 and 3, 16 bits apart; the first less 256 times the second leaves channels 0 and 2, 16 bits
 * apart. So two products make four multiply-accumulates. Sums wrap, and that is exact: a group ends before the sum of
 * w * x of any channel leaves 16 bits, and it starts with a value that takes off 128 * (sum of x).
 */
#ifndef TG_DENSE_LANES_H_INCLUDED
#define TG_DENSE_LANES_H_INCLUDED

#include "tg_dense_s8.h"
#include "tg_epilogue.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Inputs expanded at a time; LANES_CHUNK of kernels/small/pack.py. A multiple of 16. */
#define TG_LANES_CHUNK 128
/** Bytes of code of two taps below: 14 instructions in Thumb-1, 2 of 2 bytes and 6 of 4 in Thumb-2. */
#define TG_LANES_PAIR 28

/** One block of four channels; the assembly reads it by offset. */
typedef struct {
    const uint32_t *x; /**< groups of: start of the odd, start of the even channels, the taps */
    const uint32_t *x_end;
    const uint32_t *w; /**< one word a tap */
    int32_t taps;      /**< of a group: 4, 8 or 16 */
    uint32_t skip;     /**< bytes of code to jump over: the taps missing to 16 */
    uint32_t *sum;     /**< [4], added to; 2^15 too much for every group in channels 0 and 1 */
} tg_lanes_t;

#if defined(__GNUC__) && defined(__thumb__) && TG_SMALL_CORE
/** All of a block. Saves what it uses by itself, so it compiles with any frame pointer and any optimisation. */
static TG_NOINLINE void tg_lanes_block(const tg_lanes_t *job)
{
    register const tg_lanes_t *r0 __asm__("r0") = job;
    __asm__ volatile(".syntax unified\n"
                     "push  {r4-r7, lr}\n"
                     "mov   r4, r8\n"
                     "mov   r5, r9\n"
                     "mov   r6, r10\n"
                     "mov   r7, r11\n"
                     "push  {r4-r7}\n"
                     "ldr   r1, [r0, #16]\n" /* skip */
                     "ldr   r2, [r0, #4]\n"  /* x_end */
                     "ldr   r3, [r0, #20]\n" /* sum */
                     "push  {r1, r2, r3}\n"
                     "ldr   r7, [r0, #0]\n"
                     "ldr   r6, [r0, #8]\n"
                     "ldmia r3!, {r0, r1, r2, r4}\n"
                     "mov   r10, r0\n"
                     "mov   r11, r1\n"
                     "mov   r12, r2\n"
                     "mov   lr, r4\n"
                     "movs  r5, #255\n"
                     "lsls  r4, r5, #16\n"
                     "orrs  r5, r4\n" /* r5 = 0x00FF00FF */
                     "1:\n"
                     "ldmia r7!, {r0, r1}\n"
                     "mov   r9, r0\n"
                     "mov   r8, r1\n"
                     "ldr   r4, [sp, #0]\n"
                     "add   pc, r4\n" /* to 2f + skip */
                     "nop\n"
                     "2:\n"
                     ".rept 8\n"
                     "ldmia r7!, {r0, r1}\n" /* x of two taps */
                     "ldmia r6!, {r2, r3}\n"
                     "lsrs  r4, r2, #8\n"
                     "ands  r4, r5\n"
                     "muls  r2, r0, r2\n"
                     "add   r8, r2\n"
                     "muls  r4, r0, r4\n"
                     "add   r9, r4\n"
                     "lsrs  r4, r3, #8\n"
                     "ands  r4, r5\n"
                     "muls  r3, r1, r3\n"
                     "add   r8, r3\n"
                     "muls  r4, r1, r4\n"
                     "add   r9, r4\n"
                     ".endr\n"
                     "mov   r1, r9\n"
                     "mov   r0, r8\n"
                     "lsls  r2, r1, #8\n"
                     "subs  r0, r0, r2\n" /* the odd channels off the even ones */
                     "uxth  r2, r0\n"
                     "add   r10, r2\n"
                     "asrs  r0, r0, #16\n"
                     "add   r12, r0\n"
                     "uxth  r2, r1\n"
                     "add   r11, r2\n"
                     "asrs  r1, r1, #16\n"
                     "add   lr, r1\n"
                     "ldr   r4, [sp, #4]\n"
                     "cmp   r7, r4\n"
                     "beq   4f\n"
                     "b     1b\n"
                     "4:\n"
                     "pop   {r0, r1, r2}\n" /* r2 = sum */
                     "mov   r4, r10\n"
                     "mov   r5, r11\n"
                     "mov   r6, r12\n"
                     "mov   r7, lr\n"
                     "stmia r2!, {r4-r7}\n"
                     "pop   {r4-r7}\n"
                     "mov   r8, r4\n"
                     "mov   r9, r5\n"
                     "mov   r10, r6\n"
                     "mov   r11, r7\n"
                     "pop   {r4-r7}\n"
                     "pop   {r3}\n"
                     "mov   lr, r3\n"
                     : "+r"(r0)
                     :
                     : "r1", "r2", "r3", "r12", "cc", "memory");
}

#elif defined(__GNUC__) && defined(__thumb2__)
/** All of a block. Saves what it uses by itself, so it compiles with any frame pointer and any optimisation. */
static TG_NOINLINE void tg_lanes_block(const tg_lanes_t *job)
{
    register const tg_lanes_t *r0 __asm__("r0") = job;
    __asm__ volatile(".syntax unified\n"
                     "push  {r4-r11, lr}\n"
                     "ldr   r1, [r0, #16]\n" /* skip */
                     "ldr   r2, [r0, #20]\n" /* sum */
                     "push  {r1, r2}\n"
                     "ldrd  r7, r9, [r0]\n" /* x, x_end */
                     "ldr   r6, [r0, #8]\n"
                     "ldm   r2, {r10, r11, r12, lr}\n"
                     "mov   r8, #0x00FF00FF\n"
                     "1:\n"
                     "ldmia r7!, {r4, r5}\n"
                     "ldr   r0, [sp]\n"
                     "add   pc, r0\n" /* to 2f + skip */
                     "nop\n"
                     "2:\n"
                     ".rept 8\n"
                     "ldmia r7!, {r0, r1}\n" /* x of two taps */
                     "ldmia r6!, {r2, r3}\n"
                     "mla   r5, r2, r0, r5\n"
                     "and   r2, r8, r2, lsr #8\n"
                     "mla   r4, r2, r0, r4\n"
                     "mla   r5, r3, r1, r5\n"
                     "and   r3, r8, r3, lsr #8\n"
                     "mla   r4, r3, r1, r4\n"
                     ".endr\n"
                     "sub   r5, r5, r4, lsl #8\n" /* the odd channels off the even ones */
                     "uxth  r0, r5\n"
                     "add   r10, r0\n"
                     "add   r12, r12, r5, asr #16\n"
                     "uxth  r0, r4\n"
                     "add   r11, r0\n"
                     "add   lr, lr, r4, asr #16\n"
                     "cmp   r7, r9\n"
                     "bne   1b\n"
                     "pop   {r1, r2}\n"
                     "stm   r2, {r10, r11, r12, lr}\n"
                     "pop   {r4-r11, lr}\n"
                     : "+r"(r0)
                     :
                     : "r1", "r2", "r3", "r12", "cc", "memory");
}

#else
/** All of a block: what the assembly does. */
static TG_NOINLINE void tg_lanes_block(const tg_lanes_t *job)
{
    const uint32_t *x = job->x;
    const uint32_t *w = job->w;
    while (x != job->x_end) {
        uint32_t odd = x[0];
        uint32_t even = x[1];
        x += 2;
        for (int32_t left = job->taps; left > 0; --left) {
            even += *x * *w;
            odd += *x * ((*w >> 8) & 0x00FF00FFU);
            ++x;
            ++w;
        }
        even -= odd << 8;
        job->sum[0] += even & 0xFFFFU;
        job->sum[1] += odd & 0xFFFFU;
        job->sum[2] += (uint32_t)((int32_t)even >> 16);
        job->sum[3] += (uint32_t)((int32_t)odd >> 16);
    }
}
#endif

/** n inputs as groups of words, the last filled with zeros; gives where they end. */
static TG_NOINLINE uint32_t *tg_lanes_expand(const int8_t *x, int32_t n, int32_t taps, uint32_t *words)
{
    while (n > 0) {
        uint32_t *const start = words;
        const int32_t count = (n < taps) ? n : taps;
        uint32_t sum = 0U;
        words += 2;
        for (int32_t i = 0; i < count; ++i) {
            const uint32_t v = (uint32_t)x[i];
            sum += v;
            *words = v;
            ++words;
        }
        for (int32_t i = count; i < taps; ++i) {
            *words = 0U;
            ++words;
        }
        start[0] = 0x8000U - (sum * 0x00800080U); /* 2^15: the lower half stays positive and borrows nothing */
        start[1] = start[0] * 257U;
        x += count;
        n -= count;
    }
    return words;
}

/** What the groups left out of large weights. */
typedef struct {
    const uint32_t *next; /**< (block << 17) + (tap << 10) + (channel << 8) + (weight as a byte), in order of blocks */
    const uint32_t *end;
} tg_rests_t;

/** sum += the rests of one block; x is where the chunk starts. */
static inline void tg_lanes_rests(tg_rests_t *rests, uint32_t block, const int8_t *x, uint32_t sum[4])
{
    while ((rests->next != rests->end) && ((*rests->next >> 17) == block)) {
        const uint32_t v = *rests->next;
        const int32_t w = (int8_t)(uint8_t)(v & 0xFFU);
        sum[(v >> 8) & 3U] += (uint32_t)(w * x[(v >> 10) & (TG_LANES_CHUNK - 1U)]);
        ++rests->next;
    }
}

/** The layer; see tg_dense_s8_m0.h. */
static inline void tg_dense_lanes(const tg_dense_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, const int32_t *b,
                                  const int32_t *m, int16_t *scratch, int8_t *y)
{
    const tg_output_t out = {cfg->shift, cfg->out_zp, cfg->lo, cfg->hi};
    const int32_t n_in = (int32_t)cfg->n_in;
    const int32_t n_out = (int32_t)cfg->n_out;
    const uint32_t *const packed = (const uint32_t *)(const void *)w;
    const int32_t taps = w[0];
    uint32_t *const words = (uint32_t *)(void *)scratch;
    uint32_t *const sums = &words[TG_LANES_CHUNK + (2 * (TG_LANES_CHUNK / taps))]; /* only when there are two chunks */
    const int32_t step = (n_in > TG_LANES_CHUNK) ? 4 : 0;
    for (uint32_t r = 0U; r < cfg->rows; ++r) {
        const uint32_t *v = &packed[1];
        for (int32_t at = 0; at < n_in; at += TG_LANES_CHUNK) {
            const int32_t left = n_in - at;
            const int32_t n = (left < TG_LANES_CHUNK) ? left : TG_LANES_CHUNK;
            uint32_t *sum = sums;
            uint32_t one[4];
            tg_lanes_t job = {words, NULL, NULL, taps, (uint32_t)(((16 - taps) / 2) * TG_LANES_PAIR), NULL};
            const int32_t words_in = ((n + taps - 1) & -taps); /* one a tap */
            job.x_end = tg_lanes_expand(&x[at], n, taps, words);
            if (step == 0) {
                sum = one;
            }
            tg_rests_t rests = {&v[1], &v[1U + v[0]]};
            job.w = rests.end;
            for (int32_t o = 0; o < n_out; o += 4) {
                if (at == 0) {
                    sum[0] = (uint32_t)b[o];
                    sum[1] = (uint32_t)b[o + 1];
                    sum[2] = (uint32_t)b[o + 2];
                    sum[3] = (uint32_t)b[o + 3];
                }
                tg_lanes_rests(&rests, (uint32_t)o / 4U, &x[at], sum);
                job.sum = sum;
                tg_lanes_block(&job);
                job.w += words_in;
                if (left <= TG_LANES_CHUNK) {
                    tg_epilogue(&out, (const int32_t *)sum, &m[o], ((n_out - o) < 4) ? (n_out - o) : 4, &y[o]);
                }
                sum += step;
            }
            v = job.w;
        }
        x += n_in;
        y += n_out;
    }
}

#ifdef __cplusplus
}
#endif

#endif /* TG_DENSE_LANES_H_INCLUDED */
