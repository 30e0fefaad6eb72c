#include "tg_sparse_pal4_s8_m0.h"

#include "tg_sparse_m0.h"

#if TG_SPARSE_ASM

/** lr: the table. */
#define TG_PAL4_FORM "ldr r3, [r0, #48]\n"

/** Entries of a channel, for four rows. */
#define TG_PAL4_FOUR                                                                                                   \
    "ldrb r3, [r0, #0]\n"                                                                                              \
    "lsrs r2, r3, #4\n"                                                                                                \
    "adds r1, r1, r2\n"                                                                                                \
    "lsls r3, r3, #28\n"                                                                                               \
    "lsrs r3, r3, #28\n"                                                                                               \
    "mov r2, lr\n"                                                                                                     \
    "ldrsb r2, [r2, r3]\n" TG_SPARSE_MAC4 TG_SPARSE_MORE("1")

/** For one row. */
#define TG_PAL4_ONE                                                                                                    \
    "ldrb r3, [r0, #0]\n"                                                                                              \
    "lsrs r2, r3, #4\n"                                                                                                \
    "adds r1, r1, r2\n"                                                                                                \
    "lsls r3, r3, #28\n"                                                                                               \
    "lsrs r3, r3, #28\n"                                                                                               \
    "mov r2, lr\n"                                                                                                     \
    "ldrsb r2, [r2, r3]\n" TG_SPARSE_MAC1 TG_SPARSE_MORE("1")

static TG_NOINLINE void tg_pal4_four(tg_sparse_job_t *job)
{
    TG_SPARSE_RUN(job, TG_SPARSE_BEGIN(TG_PAL4_FORM, "") TG_SPARSE_FOUR TG_PAL4_FOUR TG_SPARSE_END_FOUR);
}

static TG_NOINLINE void tg_pal4_one(tg_sparse_job_t *job)
{
    TG_SPARSE_RUN(job, TG_SPARSE_BEGIN(TG_PAL4_FORM, "") TG_SPARSE_ONE TG_PAL4_ONE TG_SPARSE_END_ONE);
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

TG_SHARED void tg_sparse_pal4_s8_m0(const tg_dense_s8_cfg_t *cfg, const int8_t *x, const int8_t *w, const int32_t *b,
                                    const int32_t *m, int8_t *y)
{
    tg_sparse_layer_m0(cfg, x, w, b, m, y, 16, tg_pal4_four, tg_pal4_one);
}
