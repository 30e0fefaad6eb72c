/**
 * @file  tg_sparse_m0.h
 * @brief What the sparse kernels for Cortex-M0 share: all of four rows, or of one, but for decoding entries.
 */
#ifndef TG_SPARSE_M0_H_INCLUDED
#define TG_SPARSE_M0_H_INCLUDED

#include "tg_sparse.h"

#ifdef __cplusplus
extern "C" {
#endif

#if TG_SMALL_CORE && defined(__thumb__) && defined(__GNUC__)
#define TG_SPARSE_ASM 1
#else
#define TG_SPARSE_ASM 0
#endif

/** Some channels of four rows, or of one; the assembly reads it by offset and moves w, b, m, y and channels on. */
typedef struct {
    const int8_t *w; /**< first channel */
    const int8_t *x;
    int32_t step; /**< from row to row of x */
    const int32_t *b;
    const int32_t *m;
    int8_t *y;
    int32_t y_step; /**< from row to row */
    int32_t channels;
    int32_t offset; /**< of the requantisation: rounding and zero point, in units of 2^20 */
    uint32_t shift; /**< less 20 */
    int32_t lo;
    int32_t hi;
    const int8_t *form; /**< start of the stream */
    int32_t *acc;       /**< when not NULL: only the sums of one channel, and to here */
} tg_sparse_job_t;

#if TG_SPARSE_ASM

TG_STATIC_ASSERT(offsetof(tg_sparse_job_t, acc) == 52U, fields_are_where_the_assembly_reads_them);

/* Registers: r0 weights, r12 the end of the channel's, r1 x, r2 a weight, r3 free, lr what the form wants; the job is
 * at sp. For four rows: r1 is one step before x, r4-r7 are one to four steps, r8-r11 the sums. For one row: r4 is the
 * sum, r5-r7 are 0, 1 and 3.
 * Saves what it uses by itself, so it compiles with any frame pointer and any optimisation. */

/** `form`: instructions that set r3, to go to lr; `size`: that turn entries in r2 into bytes, r3 free. */
#define TG_SPARSE_BEGIN(form, size)                                                                                    \
    ".syntax unified\n"                                                                                                \
    "push {r4-r7, lr}\n"                                                                                               \
    "mov r4, r8\n"                                                                                                     \
    "mov r5, r9\n"                                                                                                     \
    "mov r6, r10\n"                                                                                                    \
    "mov r7, r11\n"                                                                                                    \
    "push {r0, r4-r7}\n" form "mov lr, r3\n"                                                                           \
    "ldr r0, [r0, #0]\n"                                                                                               \
    "1:\n"                                                                                                             \
    "ldr r7, [sp, #0]\n"                                                                                               \
    "ldr r3, [r7, #12]\n"                                                                                              \
    "ldmia r3!, {r4}\n"                                                                                                \
    "str r3, [r7, #12]\n"                                                                                              \
    "ldrb r2, [r0, #0]\n"                                                                                              \
    "ldrb r3, [r0, #1]\n"                                                                                              \
    "adds r0, #2\n"                                                                                                    \
    "lsls r3, r3, #8\n"                                                                                                \
    "adds r2, r2, r3\n" size "adds r2, r2, r0\n"                                                                       \
    "mov r12, r2\n"                                                                                                    \
    "ldr r1, [r7, #4]\n"

#define TG_SPARSE_FOUR                                                                                                 \
    "mov r8, r4\n"                                                                                                     \
    "mov r9, r4\n"                                                                                                     \
    "mov r10, r4\n"                                                                                                    \
    "mov r11, r4\n"                                                                                                    \
    "ldr r4, [r7, #8]\n"                                                                                               \
    "subs r1, r1, r4\n"                                                                                                \
    "lsls r5, r4, #1\n"                                                                                                \
    "adds r6, r5, r4\n"                                                                                                \
    "lsls r7, r4, #2\n"                                                                                                \
    "cmp r0, r12\n"                                                                                                    \
    "beq 4f\n"                                                                                                         \
    "2:\n"

#define TG_SPARSE_ONE                                                                                                  \
    "movs r5, #0\n"                                                                                                    \
    "movs r6, #1\n"                                                                                                    \
    "movs r7, #3\n"                                                                                                    \
    "cmp r0, r12\n"                                                                                                    \
    "beq 4f\n"                                                                                                         \
    "2:\n"

/** On to the next entries, `n` bytes behind, up to the end. */
#define TG_SPARSE_MORE(n)                                                                                              \
    "adds r0, #" n "\n"                                                                                                \
    "cmp r0, r12\n"                                                                                                    \
    "bne 2b\n"                                                                                                         \
    "4:\n"

/** The output of a sum: m is two halves, r4 and r5, whose products with it fit 32 bits; r1 goes on by a row. */
#define TG_SPARSE_OUT(sum)                                                                                             \
    "mov r2, " sum "\n"                                                                                                \
    "movs r3, r2\n"                                                                                                    \
    "muls r3, r5, r3\n"                                                                                                \
    "asrs r3, r3, #12\n"                                                                                               \
    "muls r2, r4, r2\n"                                                                                                \
    "adds r2, r2, r3\n"                                                                                                \
    "ldr r3, [r7, #32]\n"                                                                                              \
    "adds r2, r2, r3\n"                                                                                                \
    "asrs r2, r6\n"                                                                                                    \
    "ldr r3, [r7, #40]\n"                                                                                              \
    "cmp r2, r3\n"                                                                                                     \
    "bge 8f\n"                                                                                                         \
    "movs r2, r3\n"                                                                                                    \
    "8:\n"                                                                                                             \
    "ldr r3, [r7, #44]\n"                                                                                              \
    "cmp r2, r3\n"                                                                                                     \
    "ble 9f\n"                                                                                                         \
    "movs r2, r3\n"                                                                                                    \
    "9:\n"                                                                                                             \
    "ldr r3, [r7, #24]\n"                                                                                              \
    "strb r2, [r1, #0]\n"                                                                                              \
    "adds r1, r1, r3\n"

/** `outs`: TG_SPARSE_OUT of each sum. */
#define TG_SPARSE_END(outs)                                                                                            \
    "ldr r7, [sp, #0]\n"                                                                                               \
    "ldr r2, [r7, #52]\n"                                                                                              \
    "cmp r2, #0\n"                                                                                                     \
    "bne 5f\n"                                                                                                         \
    "ldr r2, [r7, #16]\n"                                                                                              \
    "ldmia r2!, {r3}\n"                                                                                                \
    "str r2, [r7, #16]\n"                                                                                              \
    "asrs r4, r3, #20\n"                                                                                               \
    "lsls r5, r3, #12\n"                                                                                               \
    "lsrs r5, r5, #20\n"                                                                                               \
    "ldr r6, [r7, #36]\n"                                                                                              \
    "ldr r1, [r7, #20]\n"                                                                                              \
    "adds r2, r1, #1\n"                                                                                                \
    "str r2, [r7, #20]\n" outs "ldr r2, [r7, #28]\n"                                                                   \
    "subs r2, #1\n"                                                                                                    \
    "str r2, [r7, #28]\n"                                                                                              \
    "beq 6f\n"                                                                                                         \
    "b 1b\n"                                                                                                           \
    "5:\n"                                                                                                             \
    "mov r3, r8\n"                                                                                                     \
    "mov r4, r9\n"                                                                                                     \
    "mov r5, r10\n"                                                                                                    \
    "mov r6, r11\n"                                                                                                    \
    "stmia r2!, {r3-r6}\n"                                                                                             \
    "6:\n"                                                                                                             \
    "str r0, [r7, #0]\n"                                                                                               \
    "pop {r0, r4-r7}\n"                                                                                                \
    "mov r8, r4\n"                                                                                                     \
    "mov r9, r5\n"                                                                                                     \
    "mov r10, r6\n"                                                                                                    \
    "mov r11, r7\n"                                                                                                    \
    "pop {r4-r7}\n"                                                                                                    \
    "pop {r3}\n"                                                                                                       \
    "mov lr, r3\n"

#define TG_SPARSE_END_FOUR                                                                                             \
    TG_SPARSE_END(TG_SPARSE_OUT("r8") TG_SPARSE_OUT("r9") TG_SPARSE_OUT("r10") TG_SPARSE_OUT("r11"))
#define TG_SPARSE_END_ONE "mov r8, r4\n" TG_SPARSE_END(TG_SPARSE_OUT("r8"))

/** The weight `at` bytes behind r0: to r2. */
#define TG_SPARSE_WEIGHT(at)                                                                                           \
    "ldrb r2, [r0, #" at "]\n"                                                                                         \
    "sxtb r2, r2\n"

/** Products of r2 with the bytes at r1 in all four rows. */
#define TG_SPARSE_MAC4                                                                                                 \
    "ldrsb r3, [r1, r4]\n"                                                                                             \
    "muls r3, r2, r3\n"                                                                                                \
    "add r8, r3\n"                                                                                                     \
    "ldrsb r3, [r1, r5]\n"                                                                                             \
    "muls r3, r2, r3\n"                                                                                                \
    "add r9, r3\n"                                                                                                     \
    "ldrsb r3, [r1, r6]\n"                                                                                             \
    "muls r3, r2, r3\n"                                                                                                \
    "add r10, r3\n"                                                                                                    \
    "ldrsb r3, [r1, r7]\n"                                                                                             \
    "muls r3, r2, r3\n"                                                                                                \
    "add r11, r3\n"

/** Product of r2 with the byte at r1. */
#define TG_SPARSE_MAC1                                                                                                 \
    "ldrsb r3, [r1, r5]\n"                                                                                             \
    "muls r3, r2, r3\n"                                                                                                \
    "adds r4, r4, r3\n"

/** Runs a block of the above. */
#define TG_SPARSE_RUN(job, text)                                                                                       \
    register tg_sparse_job_t *r0 __asm__("r0") = (job);                                                                \
    __asm__ volatile(text : "+r"(r0) : : "r1", "r2", "r3", "r12", "cc", "memory")

#else

typedef const int8_t *(*tg_sparse_form_t)(const int8_t *form, const int8_t *w, int32_t n, const int8_t *x, int32_t step,
                                          int32_t rows, int32_t *acc);

/** What the assembly does, with the entries decoded by `take`. */
static TG_INLINE void tg_sparse_channels(tg_sparse_job_t *job, int32_t rows, tg_sparse_form_t take)
{
    for (int32_t o = 0; o < job->channels; ++o) {
        const int32_t n = (int32_t)((uint8_t)job->w[0]) + ((int32_t)((uint8_t)job->w[1]) << 8);
        int32_t sums[TG_SPARSE_MOST] = {job->b[o], job->b[o], job->b[o], job->b[o]};
        job->w = take(job->form, &job->w[2], n, job->x, job->step, rows, sums);
        for (int32_t r = 0; r < rows; ++r) {
            if (job->acc != NULL) {
                job->acc[r] = sums[r];
            } else {
                const int32_t high = job->m[o] >> 20;
                const int32_t low = (job->m[o] >> 8) & 0xFFF;
                const int32_t v = ((sums[r] * high) + ((sums[r] * low) >> 12) + job->offset) >> job->shift;
                job->y[(r * job->y_step) + o] = (int8_t)tg_clamp(v, job->lo, job->hi);
            }
        }
    }
}

#endif

typedef void (*tg_sparse_block_t)(tg_sparse_job_t *job);

/**
 * The layer; `head`: bytes of the stream before the first channel; four, one: all channels of as many rows.
 *
 * An odd m[0] says that sums may be 2^19 or more, or the shift not 21..42 (multipliers are even, NUMERICS section 1).
 * Otherwise requantisation needs no 64 bits.
 */
static TG_INLINE void tg_sparse_layer_m0(const tg_dense_s8_cfg_t *cfg, const int8_t *x, const int8_t *w,
                                         const int32_t *b, const int32_t *m, int8_t *y, int32_t head,
                                         tg_sparse_block_t four, tg_sparse_block_t one)
{
    const tg_output_t out = {cfg->shift, cfg->out_zp, cfg->lo, cfg->hi};
    const int32_t rows = (int32_t)cfg->rows;
    const int32_t n_in = (int32_t)cfg->n_in;
    const int32_t n_out = (int32_t)cfg->n_out;
    const int32_t count = (rows < 4) ? 1 : 4;
    const int32_t narrow = ((m[0] & 1) == 0) ? 1 : 0;
    const tg_sparse_block_t run = (count == 1) ? one : four;
    int32_t r = 0;
    while (r < rows) {
        if ((rows - r) < count) {
            r = rows - count; /* some rows again: faster than one by one */
        }
        tg_sparse_job_t job = {&w[head], &x[r * n_in], n_in,   b,      m, &y[r * n_out], n_out, n_out,
                               0,        0U,           out.lo, out.hi, w, NULL};
        if (narrow != 0) {
            const int32_t unit = (int32_t)(1UL << (out.shift - 20U));
            job.offset = (unit >> 1) + (out.zp * unit);
            job.shift = out.shift - 20U;
            run(&job);
        } else {
            int32_t acc[TG_SPARSE_MOST];
            job.acc = acc;
            for (int32_t o = 0; o < n_out; ++o) {
                job.channels = 1;
                job.b = &b[o];
                run(&job);
                tg_sparse_store(&out, acc, m[o] & ~1, count, n_out, &y[(r * n_out) + o]);
            }
        }
        r += count;
    }
}

#ifdef __cplusplus
}
#endif

#endif /* TG_SPARSE_M0_H_INCLUDED */
