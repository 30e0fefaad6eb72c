#include "tg_sparse_pal4_s8_dsp.h"

#include "tg_sparse_dsp.h"

#if TG_DSP_ASM

/** Entries of a channel, for four rows. */
#define TG_PAL4_FOUR                                                                                                   \
    TG_SPARSE_TWO                                                                                                      \
    "2:\n"                                                                                                             \
    "ldrb lr, [r0], #1\n"                                                                                              \
    "and r8, lr, #15\n"                                                                                                \
    "add r1, r1, lr, lsr #4\n"                                                                                         \
    "add r11, r1, r2\n"                                                                                                \
    "ldrsb lr, [r3, r8]\n"                                                                                             \
    "ldrsb r8, [r1]\n"                                                                                                 \
    "ldrsb r9, [r1, r2]\n"                                                                                             \
    "ldrsb r10, [r1, r2, lsl #1]\n"                                                                                    \
    "ldrsb r11, [r11, r2, lsl #1]\n" TG_SPARSE_MAC("b") "3:\n"                                                         \
                                                        "ldrb lr, [r0], #1\n"                                          \
                                                        "and r8, lr, #15\n"                                            \
                                                        "add r1, r1, lr, lsr #4\n"                                     \
                                                        "add r11, r1, r2\n"                                            \
                                                        "ldrsb lr, [r3, r8]\n"                                         \
                                                        "ldrsb r8, [r1]\n"                                             \
                                                        "ldrsb r9, [r1, r2]\n"                                         \
                                                        "ldrsb r10, [r1, r2, lsl #1]\n"                                \
                                                        "ldrsb r11, [r11, r2, lsl #1]\n" TG_SPARSE_MAC("b")            \
                                                            TG_SPARSE_LOOP

/** For one row. */
#define TG_PAL4_ONE                                                                                                    \
    TG_SPARSE_TWO                                                                                                      \
    "2:\n"                                                                                                             \
    "ldrb lr, [r0], #1\n"                                                                                              \
    "and r8, lr, #15\n"                                                                                                \
    "add r1, r1, lr, lsr #4\n"                                                                                         \
    "ldrsb r8, [r3, r8]\n"                                                                                             \
    "ldrsb r9, [r1]\n"                                                                                                 \
    "smlabb r4, r9, r8, r4\n"                                                                                          \
    "3:\n"                                                                                                             \
    "ldrb lr, [r0], #1\n"                                                                                              \
    "and r8, lr, #15\n"                                                                                                \
    "add r1, r1, lr, lsr #4\n"                                                                                         \
    "ldrsb r8, [r3, r8]\n"                                                                                             \
    "ldrsb r9, [r1]\n"                                                                                                 \
    "smlabb r4, r9, r8, r4\n" TG_SPARSE_LOOP

static TG_NOINLINE void tg_pal4_four(tg_sparse_job_t *job)
{
    TG_SPARSE_RUN(job, TG_SPARSE_BEGIN("ldr r3, [r12, #40]\n") TG_PAL4_FOUR TG_SPARSE_END_FOUR);
}

static TG_NOINLINE void tg_pal4_one(tg_sparse_job_t *job)
{
    TG_SPARSE_RUN(job, TG_SPARSE_BEGIN("ldr r3, [r12, #40]\n") TG_PAL4_ONE TG_SPARSE_END_ONE);
}

#else

static TG_NOINLINE void tg_pal4_four(tg_sparse_job_t *job)
{
    tg_sparse_channels(job, 4, tg_sparse_pal4);
}

static TG_NOINLINE void tg_pal4_one(tg_sparse_job_t *job)
{
    tg_sparse_channels(job, 1, tg_sparse_pal4);
}

#endif

TG_SHARED void tg_sparse_pal4_s8_dsp(const tg_dense_s8_cfg_t *cfg, const int8_t *x, const int8_t *w, const int32_t *b,
                                     const int32_t *m, int8_t *y)
{
    tg_sparse_layer_dsp(cfg, x, w, b, m, y, 16, tg_pal4_four, tg_pal4_one);
}
