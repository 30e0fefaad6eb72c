/**
 * @file  tg_sparse_dsp.h
 * @brief What the sparse kernels for the DSP extension share: all of a row, or of four, but for decoding entries.
 */
#ifndef TG_SPARSE_DSP_H_INCLUDED
#define TG_SPARSE_DSP_H_INCLUDED

#include "tg_dense_s8.h"
#include "tg_epilogue_dsp.h"
#include "tg_sparse_forms.h"

#ifdef __cplusplus
extern "C" {
#endif

/** All channels of four rows, or of one; the assembly reads it by offset and moves b, m, y and channels on. */
typedef struct {
    const int8_t *w; /**< first channel */
    const int8_t *x;
    const int32_t *b;
    const int32_t *m;
    int8_t *y;
    int32_t y_step; /**< from row to row */
    int32_t channels;
    int32_t offset; /**< of tg_output_dsp_t */
    uint32_t shift;
    int32_t step;       /**< from row to row of x */
    const int8_t *form; /**< start of the stream */
} tg_sparse_job_t;

#if TG_DSP_ASM

TG_STATIC_ASSERT(offsetof(tg_sparse_job_t, form) == 40U, fields_are_where_the_assembly_reads_them);

/* Registers: r0 weights, r1 x, r2 step, r3 what the form wants, r4-r7 sums of the rows, r12 entries of the channel,
 * r8-r11 and lr free; the job is at sp. A form's loop decodes entries from r12 on to none and may not touch r2 and r3.
 * Saves what it uses by itself, so it compiles with any frame pointer and any optimisation. */

/** `r3`: instructions that set r3; r12 is the job. */
#define TG_SPARSE_BEGIN(r3)                                                                                            \
    ".syntax unified\n"                                                                                                \
    "push {r0, r4-r11, lr}\n"                                                                                          \
    "mov r12, r0\n"                                                                                                    \
    "ldr r2, [r12, #36]\n" r3 "ldr r0, [r12]\n"                                                                        \
    "1:\n"                                                                                                             \
    "ldr r12, [sp]\n"                                                                                                  \
    "ldr r11, [r12, #8]\n"                                                                                             \
    "ldr r4, [r11], #4\n"                                                                                              \
    "str r11, [r12, #8]\n"                                                                                             \
    "ldr r1, [r12, #4]\n"                                                                                              \
    "ldrh r12, [r0], #2\n"                                                                                             \
    "mov r5, r4\n"                                                                                                     \
    "mov r6, r4\n"                                                                                                     \
    "mov r7, r4\n"                                                                                                     \
    "cmp r12, #0\n"                                                                                                    \
    "beq 4f\n"

/** Half the number of entries, rounded up, for a loop of two; to 3 when the first round is only its second half. */
#define TG_SPARSE_TWO                                                                                                  \
    "add r12, r12, #1\n"                                                                                               \
    "lsrs r12, r12, #1\n"                                                                                              \
    "bcc 3f\n"

#define TG_SPARSE_LOOP                                                                                                 \
    "subs r12, r12, #1\n"                                                                                              \
    "bne 2b\n"

#define TG_SPARSE_OUT                                                                                                  \
    "4:\n"                                                                                                             \
    "ldr r12, [sp]\n"                                                                                                  \
    "ldr r8, [r12, #12]\n"                                                                                             \
    "ldr r10, [r12, #28]\n"                                                                                            \
    "ldr r11, [r12, #32]\n"                                                                                            \
    "ldr r9, [r8], #4\n"                                                                                               \
    "str r8, [r12, #12]\n"                                                                                             \
    "ldr r8, [r12, #16]\n"                                                                                             \
    "smmla r4, r4, r9, r10\n"                                                                                          \
    "asr r4, r4, r11\n"                                                                                                \
    "ssat r4, #8, r4\n"

#define TG_SPARSE_NEXT                                                                                                 \
    "strb r4, [r8], #1\n"                                                                                              \
    "str r8, [r12, #16]\n"                                                                                             \
    "ldr r8, [r12, #24]\n"                                                                                             \
    "subs r8, r8, #1\n"                                                                                                \
    "str r8, [r12, #24]\n"                                                                                             \
    "bne 1b\n"                                                                                                         \
    "pop {r0, r4-r11, lr}\n"

/** One output. */
#define TG_SPARSE_END_ONE TG_SPARSE_OUT TG_SPARSE_NEXT

/** Four outputs, one in each row. */
#define TG_SPARSE_END_FOUR                                                                                             \
    TG_SPARSE_OUT                                                                                                      \
    "smmla r5, r5, r9, r10\n"                                                                                          \
    "smmla r6, r6, r9, r10\n"                                                                                          \
    "smmla r7, r7, r9, r10\n"                                                                                          \
    "ldr r9, [r12, #20]\n"                                                                                             \
    "asr r5, r5, r11\n"                                                                                                \
    "asr r6, r6, r11\n"                                                                                                \
    "asr r7, r7, r11\n"                                                                                                \
    "ssat r5, #8, r5\n"                                                                                                \
    "ssat r6, #8, r6\n"                                                                                                \
    "ssat r7, #8, r7\n"                                                                                                \
    "add r10, r8, r9\n"                                                                                                \
    "strb r5, [r8, r9]\n"                                                                                              \
    "strb r6, [r8, r9, lsl #1]\n"                                                                                      \
    "strb r7, [r10, r9, lsl #1]\n" TG_SPARSE_NEXT

/** The bytes at r1 in all four rows, r3 being three steps: to r8-r11. Loads stand in groups, which pipeline. */
#define TG_SPARSE_LOAD                                                                                                 \
    "ldrsb r8, [r1]\n"                                                                                                 \
    "ldrsb r9, [r1, r2]\n"                                                                                             \
    "ldrsb r10, [r1, r2, lsl #1]\n"                                                                                    \
    "ldrsb r11, [r1, r3]\n"

/** Their products with a half of lr, "b" or "t". */
#define TG_SPARSE_MAC(half)                                                                                            \
    "smlab" half " r4, r8, lr, r4\n"                                                                                   \
    "smlab" half " r5, r9, lr, r5\n"                                                                                   \
    "smlab" half " r6, r10, lr, r6\n"                                                                                  \
    "smlab" half " r7, r11, lr, r7\n"

#define TG_SPARSE_STEP3 "add r3, r2, r2, lsl #1\n"

/** Runs a block of the above. */
#define TG_SPARSE_RUN(job, text)                                                                                       \
    register tg_sparse_job_t *r0 __asm__("r0") = (job);                                                                \
    __asm__ volatile(text : "+r"(r0) : : "r1", "r2", "r3", "r12", "cc", "memory")

#else

typedef const int8_t *(*tg_sparse_form_t)(const int8_t *form, const int8_t *w, int32_t n, const int8_t *x, int32_t step,
                                          int32_t rows, int32_t *acc);

/** What the assembly does, with the entries decoded by `take`. */
static TG_INLINE void tg_sparse_channels(const tg_sparse_job_t *job, int32_t rows, tg_sparse_form_t take)
{
    const int8_t *w = job->w;
    for (int32_t o = 0; o < job->channels; ++o) {
        const int32_t n = (int32_t)((uint8_t)w[0]) + ((int32_t)((uint8_t)w[1]) << 8);
        int32_t acc[4] = {job->b[o], job->b[o], job->b[o], job->b[o]};
        w = take(job->form, &w[2], n, job->x, job->step, rows, acc);
        for (int32_t r = 0; r < rows; ++r) {
            job->y[(r * job->y_step) + o] = (int8_t)tg_ssat8(tg_smmla(acc[r], job->m[o], job->offset) >> job->shift);
        }
    }
}

#endif

typedef void (*tg_sparse_block_t)(tg_sparse_job_t *job);

/** The layer; `head`: bytes of the stream before the first channel. 33 <= shift <= 54. */
static TG_INLINE void tg_sparse_layer_dsp(const tg_dense_s8_cfg_t *cfg, const int8_t *x, const int8_t *w,
                                          const int32_t *b, const int32_t *m, int8_t *y, int32_t head,
                                          tg_sparse_block_t four, tg_sparse_block_t one)
{
    const tg_output_dsp_t o = tg_output_dsp(cfg->shift, cfg->out_zp, cfg->lo, cfg->hi);
    const int32_t rows = (int32_t)cfg->rows;
    const int32_t n_in = (int32_t)cfg->n_in;
    const int32_t n_out = (int32_t)cfg->n_out;
    const int32_t count = (rows < 4) ? 1 : 4;
    int32_t r = 0;
    while (r < rows) {
        if ((rows - r) < count) {
            r = rows - count; /* some rows again: faster than one by one */
        }
        tg_sparse_job_t job = {&w[head], &x[r * n_in], b, m, &y[r * n_out], n_out, n_out, o.offset, o.shift, n_in, w};
        if (count == 1) {
            one(&job);
        } else {
            four(&job);
        }
        r += count;
    }
    tg_clamp_dsp(&o, y, rows * n_out);
}

#ifdef __cplusplus
}
#endif

#endif /* TG_SPARSE_DSP_H_INCLUDED */
