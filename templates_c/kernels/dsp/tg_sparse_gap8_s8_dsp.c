#include "tg_sparse_gap8_s8_dsp.h"

#include "tg_sparse_dsp.h"

#if TG_DSP_ASM

/** Entries of a channel, for four rows. */
#define TG_GAP8_FOUR                                                                                                   \
    "2:\n"                                                                                                             \
    "ldr lr, [r0], #4\n"                                                                                               \
    "uxtab r1, r1, lr\n" TG_SPARSE_LOAD "uxtab r1, r1, lr, ror #16\n"                                                  \
    "sxtb16 lr, lr, ror #8\n" TG_SPARSE_MAC("b") TG_SPARSE_LOAD TG_SPARSE_MAC("t") TG_SPARSE_LOOP

/** For one row. */
#define TG_GAP8_ONE                                                                                                    \
    "mov r8, r1\n" TG_SPARSE_TWO "2:\n"                                                                                \
    "ldr lr, [r0], #4\n"                                                                                               \
    "uxtab r1, r1, lr\n"                                                                                               \
    "uxtab r8, r1, lr, ror #16\n"                                                                                      \
    "ldrsb r9, [r1]\n"                                                                                                 \
    "ldrsb r10, [r8]\n"                                                                                                \
    "sxtb16 lr, lr, ror #8\n"                                                                                          \
    "smlabb r4, r9, lr, r4\n"                                                                                          \
    "smlabt r4, r10, lr, r4\n"                                                                                         \
    "3:\n"                                                                                                             \
    "ldr lr, [r0], #4\n"                                                                                               \
    "uxtab r8, r8, lr\n"                                                                                               \
    "uxtab r1, r8, lr, ror #16\n"                                                                                      \
    "ldrsb r9, [r8]\n"                                                                                                 \
    "ldrsb r10, [r1]\n"                                                                                                \
    "sxtb16 lr, lr, ror #8\n"                                                                                          \
    "smlabb r4, r9, lr, r4\n"                                                                                          \
    "smlabt r4, r10, lr, r4\n" TG_SPARSE_LOOP

static TG_NOINLINE void tg_gap8_four(tg_sparse_job_t *job)
{
    TG_SPARSE_RUN(job, TG_SPARSE_BEGIN(TG_SPARSE_STEP3) TG_GAP8_FOUR TG_SPARSE_END_FOUR);
}

static TG_NOINLINE void tg_gap8_one(tg_sparse_job_t *job)
{
    TG_SPARSE_RUN(job, TG_SPARSE_BEGIN(TG_SPARSE_STEP3) TG_GAP8_ONE TG_SPARSE_END_ONE);
}

#else

static TG_NOINLINE void tg_gap8_four(tg_sparse_job_t *job)
{
    tg_sparse_channels(job, 4, tg_sparse_gap8);
}

static TG_NOINLINE void tg_gap8_one(tg_sparse_job_t *job)
{
    tg_sparse_channels(job, 1, tg_sparse_gap8);
}

#endif

TG_SHARED void tg_sparse_gap8_s8_dsp(const tg_dense_s8_cfg_t *cfg, const int8_t *x, const int8_t *w, const int32_t *b,
                                     const int32_t *m, int8_t *y)
{
    tg_sparse_layer_dsp(cfg, x, w, b, m, y, 0, tg_gap8_four, tg_gap8_one);
}
