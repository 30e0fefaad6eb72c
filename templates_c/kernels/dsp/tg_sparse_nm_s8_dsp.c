#include "tg_sparse_nm_s8_dsp.h"

#include "tg_sparse_dsp.h"

#if TG_DSP_ASM

/* r3: from every other entry to the next, 4 or 0 (tg_sparse_forms.h) */
#define TG_NM_STEP                                                                                                     \
    "ldr r3, [r12, #40]\n"                                                                                             \
    "ldrsb r3, [r3]\n"                                                                                                 \
    "rsb r3, r3, #2\n"                                                                                                 \
    "lsl r3, r3, #2\n"

/** Entries of a channel, for four rows. */
#define TG_NM_FOUR                                                                                                     \
    "lsr r12, r12, #2\n"                                                                                               \
    "2:\n"                                                                                                             \
    "add r0, r0, #5\n"                                                                                                 \
    "ldrb r8, [r0, #-5]\n"                                                                                             \
    "ldrsb lr, [r0, #-4]\n"                                                                                            \
    "ubfx r8, r8, #0, #2\n"                                                                                            \
    "add r8, r8, r1\n"                                                                                                 \
    "add r11, r8, r2\n"                                                                                                \
    "ldrsb r9, [r8, r2]\n"                                                                                             \
    "ldrsb r10, [r8, r2, lsl #1]\n"                                                                                    \
    "ldrsb r8, [r8]\n"                                                                                                 \
    "ldrsb r11, [r11, r2, lsl #1]\n"                                                                                   \
    "add r1, r1, r3\n" TG_SPARSE_MAC("b") "ldrb r8, [r0, #-5]\n"                                                       \
                                          "ldrsb lr, [r0, #-3]\n"                                                      \
                                          "ubfx r8, r8, #2, #2\n"                                                      \
                                          "add r8, r8, r1\n"                                                           \
                                          "add r11, r8, r2\n"                                                          \
                                          "ldrsb r9, [r8, r2]\n"                                                       \
                                          "ldrsb r10, [r8, r2, lsl #1]\n"                                              \
                                          "ldrsb r8, [r8]\n"                                                           \
                                          "ldrsb r11, [r11, r2, lsl #1]\n"                                             \
                                          "add r1, r1, #4\n" TG_SPARSE_MAC(                                            \
                                              "b") "ldrb r8, [r0, #-5]\n"                                              \
                                                   "ldrsb lr, [r0, #-2]\n"                                             \
                                                   "ubfx r8, r8, #4, #2\n"                                             \
                                                   "add r8, r8, r1\n"                                                  \
                                                   "add r11, r8, r2\n"                                                 \
                                                   "ldrsb r9, [r8, r2]\n"                                              \
                                                   "ldrsb r10, [r8, r2, lsl #1]\n"                                     \
                                                   "ldrsb r8, [r8]\n"                                                  \
                                                   "ldrsb r11, [r11, r2, lsl #1]\n"                                    \
                                                   "add r1, r1, r3\n" TG_SPARSE_MAC(                                   \
                                                       "b") "ldrb r8, [r0, #-5]\n"                                     \
                                                            "ldrsb lr, [r0, #-1]\n"                                    \
                                                            "ubfx r8, r8, #6, #2\n"                                    \
                                                            "add r8, r8, r1\n"                                         \
                                                            "add r11, r8, r2\n"                                        \
                                                            "ldrsb r9, [r8, r2]\n"                                     \
                                                            "ldrsb r10, [r8, r2, lsl #1]\n"                            \
                                                            "ldrsb r8, [r8]\n"                                         \
                                                            "ldrsb r11, [r11, r2, lsl #1]\n"                           \
                                                            "add r1, r1, #4\n" TG_SPARSE_MAC("b") TG_SPARSE_LOOP

/** For one row. */
#define TG_NM_ONE                                                                                                      \
    "lsr r12, r12, #2\n"                                                                                               \
    "2:\n"                                                                                                             \
    "ldrb lr, [r0], #5\n"                                                                                              \
    "ldrsb r8, [r0, #-4]\n"                                                                                            \
    "ldrsb r9, [r0, #-3]\n"                                                                                            \
    "ldrsb r10, [r0, #-2]\n"                                                                                           \
    "ubfx r11, lr, #0, #2\n"                                                                                           \
    "ldrsb r11, [r1, r11]\n"                                                                                           \
    "add r1, r1, r3\n"                                                                                                 \
    "smlabb r4, r11, r8, r4\n"                                                                                         \
    "ubfx r11, lr, #2, #2\n"                                                                                           \
    "ldrsb r11, [r1, r11]\n"                                                                                           \
    "add r1, r1, #4\n"                                                                                                 \
    "smlabb r4, r11, r9, r4\n"                                                                                         \
    "ldrsb r8, [r0, #-1]\n"                                                                                            \
    "ubfx r11, lr, #4, #2\n"                                                                                           \
    "ldrsb r11, [r1, r11]\n"                                                                                           \
    "add r1, r1, r3\n"                                                                                                 \
    "smlabb r4, r11, r10, r4\n"                                                                                        \
    "ubfx r11, lr, #6, #2\n"                                                                                           \
    "ldrsb r11, [r1, r11]\n"                                                                                           \
    "add r1, r1, #4\n"                                                                                                 \
    "smlabb r4, r11, r8, r4\n" TG_SPARSE_LOOP

static TG_NOINLINE void tg_nm_four(tg_sparse_job_t *job)
{
    TG_SPARSE_RUN(job, TG_SPARSE_BEGIN(TG_NM_STEP) TG_NM_FOUR TG_SPARSE_END_FOUR);
}

static TG_NOINLINE void tg_nm_one(tg_sparse_job_t *job)
{
    TG_SPARSE_RUN(job, TG_SPARSE_BEGIN(TG_NM_STEP) TG_NM_ONE TG_SPARSE_END_ONE);
}

#else

static TG_NOINLINE void tg_nm_four(tg_sparse_job_t *job)
{
    tg_sparse_channels(job, 4, tg_sparse_nm);
}

static TG_NOINLINE void tg_nm_one(tg_sparse_job_t *job)
{
    tg_sparse_channels(job, 1, tg_sparse_nm);
}

#endif

TG_SHARED void tg_sparse_nm_s8_dsp(const tg_dense_s8_cfg_t *cfg, const int8_t *x, const int8_t *w, const int32_t *b,
                                   const int32_t *m, int8_t *y)
{
    tg_sparse_layer_dsp(cfg, x, w, b, m, y, 1, tg_nm_four, tg_nm_one);
}
