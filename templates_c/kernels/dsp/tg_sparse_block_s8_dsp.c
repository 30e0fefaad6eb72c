#include "tg_sparse_block_s8_dsp.h"

#include "tg_sparse_dsp.h"

#if TG_DSP_ASM

/** Entries of a channel, for four rows. */
#define TG_BLOCK_FOUR                                                                                                  \
    "2:\n"                                                                                                             \
    "ldrb r10, [r0], #5\n"                                                                                             \
    "ldr r8, [r0, #-4]\n"                                                                                              \
    "add r1, r1, r10\n"                                                                                                \
    "ldr r10, [r1]\n"                                                                                                  \
    "ldr r11, [r1, r2]\n"                                                                                              \
    "sxtb16 r9, r8, ror #8\n"                                                                                          \
    "sxtb16 r8, r8\n"                                                                                                  \
    "sxtb16 lr, r10\n"                                                                                                 \
    "sxtb16 r10, r10, ror #8\n"                                                                                        \
    "smlad r4, lr, r8, r4\n"                                                                                           \
    "smlad r4, r10, r9, r4\n"                                                                                          \
    "sxtb16 lr, r11\n"                                                                                                 \
    "sxtb16 r11, r11, ror #8\n"                                                                                        \
    "smlad r5, lr, r8, r5\n"                                                                                           \
    "smlad r5, r11, r9, r5\n"                                                                                          \
    "ldr r10, [r1, r2, lsl #1]\n"                                                                                      \
    "ldr r11, [r1, r3]\n"                                                                                              \
    "sxtb16 lr, r10\n"                                                                                                 \
    "sxtb16 r10, r10, ror #8\n"                                                                                        \
    "smlad r6, lr, r8, r6\n"                                                                                           \
    "smlad r6, r10, r9, r6\n"                                                                                          \
    "sxtb16 lr, r11\n"                                                                                                 \
    "sxtb16 r11, r11, ror #8\n"                                                                                        \
    "smlad r7, lr, r8, r7\n"                                                                                           \
    "smlad r7, r11, r9, r7\n" TG_SPARSE_LOOP

/** For one row. */
#define TG_BLOCK_ONE                                                                                                   \
    TG_SPARSE_TWO                                                                                                      \
    "2:\n"                                                                                                             \
    "ldrb r8, [r0], #5\n"                                                                                              \
    "ldr r9, [r0, #-4]\n"                                                                                              \
    "add r1, r1, r8\n"                                                                                                 \
    "ldr r10, [r1]\n"                                                                                                  \
    "sxtb16 r8, r9\n"                                                                                                  \
    "sxtb16 r9, r9, ror #8\n"                                                                                          \
    "sxtb16 r11, r10\n"                                                                                                \
    "sxtb16 r10, r10, ror #8\n"                                                                                        \
    "smlad r4, r11, r8, r4\n"                                                                                          \
    "smlad r4, r10, r9, r4\n"                                                                                          \
    "3:\n"                                                                                                             \
    "ldrb r8, [r0], #5\n"                                                                                              \
    "ldr r9, [r0, #-4]\n"                                                                                              \
    "add r1, r1, r8\n"                                                                                                 \
    "ldr r10, [r1]\n"                                                                                                  \
    "sxtb16 r8, r9\n"                                                                                                  \
    "sxtb16 r9, r9, ror #8\n"                                                                                          \
    "sxtb16 r11, r10\n"                                                                                                \
    "sxtb16 r10, r10, ror #8\n"                                                                                        \
    "smlad r4, r11, r8, r4\n"                                                                                          \
    "smlad r4, r10, r9, r4\n" TG_SPARSE_LOOP

static TG_NOINLINE void tg_block_four(tg_sparse_job_t *job)
{
    TG_SPARSE_RUN(job, TG_SPARSE_BEGIN(TG_SPARSE_STEP3) TG_BLOCK_FOUR TG_SPARSE_END_FOUR);
}

static TG_NOINLINE void tg_block_one(tg_sparse_job_t *job)
{
    TG_SPARSE_RUN(job, TG_SPARSE_BEGIN(TG_SPARSE_STEP3) TG_BLOCK_ONE TG_SPARSE_END_ONE);
}

#else

static TG_NOINLINE void tg_block_four(tg_sparse_job_t *job)
{
    tg_sparse_channels(job, 4, tg_sparse_block);
}

static TG_NOINLINE void tg_block_one(tg_sparse_job_t *job)
{
    tg_sparse_channels(job, 1, tg_sparse_block);
}

#endif

TG_SHARED void tg_sparse_block_s8_dsp(const tg_dense_s8_cfg_t *cfg, const int8_t *x, const int8_t *w, const int32_t *b,
                                      const int32_t *m, int8_t *y)
{
    tg_sparse_layer_dsp(cfg, x, w, b, m, y, 0, tg_block_four, tg_block_one);
}
