#include "tg_sparse_gap4_s8_dsp.h"

#include "tg_sparse_dsp.h"

#if TG_DSP_ASM

/** Entries of a channel, for four rows. */
#define TG_GAP4_FOUR                                                                                                   \
    "2:\n"                                                                                                             \
    "ldrb r8, [r0], #3\n"                                                                                              \
    "ldrsb lr, [r0, #-2]\n"                                                                                            \
    "and r8, r8, #15\n"                                                                                                \
    "add r1, r1, r8\n" TG_SPARSE_LOAD TG_SPARSE_MAC("b") "ldrb r8, [r0, #-3]\n"                                        \
                                                         "ldrsb lr, [r0, #-1]\n"                                       \
                                                         "add r1, r1, r8, lsr #4\n" TG_SPARSE_LOAD TG_SPARSE_MAC("b")  \
                                                             TG_SPARSE_LOOP

/** For one row. */
#define TG_GAP4_ONE                                                                                                    \
    "mov r11, r1\n" TG_SPARSE_TWO "2:\n"                                                                               \
    "ldrb r8, [r0], #3\n"                                                                                              \
    "ldrsb r9, [r0, #-2]\n"                                                                                            \
    "ldrsb r10, [r0, #-1]\n"                                                                                           \
    "and r11, r8, #15\n"                                                                                               \
    "add r1, r1, r11\n"                                                                                                \
    "add r11, r1, r8, lsr #4\n"                                                                                        \
    "ldrsb r8, [r1]\n"                                                                                                 \
    "ldrsb lr, [r11]\n"                                                                                                \
    "smlabb r4, r8, r9, r4\n"                                                                                          \
    "smlabb r4, lr, r10, r4\n"                                                                                         \
    "3:\n"                                                                                                             \
    "ldrb r8, [r0], #3\n"                                                                                              \
    "ldrsb r9, [r0, #-2]\n"                                                                                            \
    "ldrsb r10, [r0, #-1]\n"                                                                                           \
    "and r1, r8, #15\n"                                                                                                \
    "add r11, r11, r1\n"                                                                                               \
    "add r1, r11, r8, lsr #4\n"                                                                                        \
    "ldrsb r8, [r11]\n"                                                                                                \
    "ldrsb lr, [r1]\n"                                                                                                 \
    "smlabb r4, r8, r9, r4\n"                                                                                          \
    "smlabb r4, lr, r10, r4\n" TG_SPARSE_LOOP

static TG_NOINLINE void tg_gap4_four(tg_sparse_job_t *job)
{
    TG_SPARSE_RUN(job, TG_SPARSE_BEGIN(TG_SPARSE_STEP3) TG_GAP4_FOUR TG_SPARSE_END_FOUR);
}

static TG_NOINLINE void tg_gap4_one(tg_sparse_job_t *job)
{
    TG_SPARSE_RUN(job, TG_SPARSE_BEGIN(TG_SPARSE_STEP3) TG_GAP4_ONE TG_SPARSE_END_ONE);
}

#else

static TG_NOINLINE void tg_gap4_four(tg_sparse_job_t *job)
{
    tg_sparse_channels(job, 4, tg_sparse_gap4);
}

static TG_NOINLINE void tg_gap4_one(tg_sparse_job_t *job)
{
    tg_sparse_channels(job, 1, tg_sparse_gap4);
}

#endif

TG_SHARED void tg_sparse_gap4_s8_dsp(const tg_dense_s8_cfg_t *cfg, const int8_t *x, const int8_t *w, const int32_t *b,
                                     const int32_t *m, int8_t *y)
{
    tg_sparse_layer_dsp(cfg, x, w, b, m, y, 0, tg_gap4_four, tg_gap4_one);
}
