#include "tg_sparse_gap4_s8_m0.h"

#include "tg_sparse_m0.h"

#if TG_SPARSE_ASM

/** Bytes of r2 entries. */
#define TG_GAP4_BYTES                                                                                                  \
    "lsls r3, r2, #1\n"                                                                                                \
    "adds r2, r2, r3\n"

/** Entries of a channel, for four rows. */
#define TG_GAP4_FOUR                                                                                                   \
    "ldrb r3, [r0, #0]\n"                                                                                              \
    "movs r2, #15\n"                                                                                                   \
    "ands r3, r2\n"                                                                                                    \
    "adds r1, r1, r3\n" TG_SPARSE_WEIGHT("1") TG_SPARSE_MAC4 "ldrb r3, [r0, #0]\n"                                     \
                                                             "lsrs r3, r3, #4\n"                                       \
                                                             "adds r1, r1, r3\n" TG_SPARSE_WEIGHT("2")                 \
                                                                 TG_SPARSE_MAC4 TG_SPARSE_MORE("3")

/** For one row. */
#define TG_GAP4_ONE                                                                                                    \
    "ldrb r3, [r0, #0]\n"                                                                                              \
    "movs r2, #15\n"                                                                                                   \
    "ands r3, r2\n"                                                                                                    \
    "adds r1, r1, r3\n" TG_SPARSE_WEIGHT("1") TG_SPARSE_MAC1 "ldrb r3, [r0, #0]\n"                                     \
                                                             "lsrs r3, r3, #4\n"                                       \
                                                             "adds r1, r1, r3\n" TG_SPARSE_WEIGHT("2")                 \
                                                                 TG_SPARSE_MAC1 TG_SPARSE_MORE("3")

static TG_NOINLINE void tg_gap4_four(tg_sparse_job_t *job)
{
    TG_SPARSE_RUN(job, TG_SPARSE_BEGIN("", TG_GAP4_BYTES) TG_SPARSE_FOUR TG_GAP4_FOUR TG_SPARSE_END_FOUR);
}

static TG_NOINLINE void tg_gap4_one(tg_sparse_job_t *job)
{
    TG_SPARSE_RUN(job, TG_SPARSE_BEGIN("", TG_GAP4_BYTES) TG_SPARSE_ONE TG_GAP4_ONE TG_SPARSE_END_ONE);
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

TG_SHARED void tg_sparse_gap4_s8_m0(const tg_dense_s8_cfg_t *cfg, const int8_t *x, const int8_t *w, const int32_t *b,
                                    const int32_t *m, int8_t *y)
{
    tg_sparse_layer_m0(cfg, x, w, b, m, y, 0, tg_gap4_four, tg_gap4_one);
}
