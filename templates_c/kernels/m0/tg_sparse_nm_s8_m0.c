#include "tg_sparse_nm_s8_m0.h"

#include "tg_sparse_m0.h"

#if TG_SPARSE_ASM

/** lr: from every other entry to the next, 4 or 0 (tg_sparse_forms.h). */
#define TG_NM_FORM                                                                                                     \
    "ldr r3, [r0, #48]\n"                                                                                              \
    "ldrb r2, [r3, #0]\n"                                                                                              \
    "movs r3, #2\n"                                                                                                    \
    "subs r3, r3, r2\n"                                                                                                \
    "lsls r3, r3, #2\n"

/** Bytes of r2 entries. */
#define TG_NM_BYTES                                                                                                    \
    "lsrs r2, r2, #2\n"                                                                                                \
    "lsls r3, r2, #2\n"                                                                                                \
    "adds r2, r2, r3\n"

/** Entries of a channel, for four rows. */
#define TG_NM_FOUR                                                                                                     \
    "ldrb r3, [r0, #0]\n"                                                                                              \
    "lsls r3, r3, #30\n"                                                                                               \
    "lsrs r3, r3, #30\n"                                                                                               \
    "adds r1, r1, r3\n" TG_SPARSE_WEIGHT("1") TG_SPARSE_MAC4 "ldrb r3, [r0, #0]\n"                                     \
                                                             "lsls r3, r3, #30\n"                                      \
                                                             "lsrs r3, r3, #30\n"                                      \
                                                             "subs r1, r1, r3\n"                                       \
                                                             "add r1, lr\n"                                            \
                                                             "ldrb r3, [r0, #0]\n"                                     \
                                                             "lsls r3, r3, #28\n"                                      \
                                                             "lsrs r3, r3, #30\n"                                      \
                                                             "adds r1, r1, r3\n" TG_SPARSE_WEIGHT("2") TG_SPARSE_MAC4  \
        "ldrb r3, [r0, #0]\n"                                                                                          \
        "lsls r3, r3, #28\n"                                                                                           \
        "lsrs r3, r3, #30\n"                                                                                           \
        "subs r1, r1, r3\n"                                                                                            \
        "adds r1, #4\n"                                                                                                \
        "ldrb r3, [r0, #0]\n"                                                                                          \
        "lsls r3, r3, #26\n"                                                                                           \
        "lsrs r3, r3, #30\n"                                                                                           \
        "adds r1, r1, r3\n" TG_SPARSE_WEIGHT("3") TG_SPARSE_MAC4                                                       \
        "ldrb r3, [r0, #0]\n"                                                                                          \
        "lsls r3, r3, #26\n"                                                                                           \
        "lsrs r3, r3, #30\n"                                                                                           \
        "subs r1, r1, r3\n"                                                                                            \
        "add r1, lr\n"                                                                                                 \
        "ldrb r3, [r0, #0]\n"                                                                                          \
        "lsrs r3, r3, #6\n"                                                                                            \
        "adds r1, r1, r3\n" TG_SPARSE_WEIGHT("4") TG_SPARSE_MAC4 "ldrb r3, [r0, #0]\n"                                 \
                                                                 "lsrs r3, r3, #6\n"                                   \
                                                                 "subs r1, r1, r3\n"                                   \
                                                                 "adds r1, #4\n" TG_SPARSE_MORE("5")

/** For one row. */
#define TG_NM_ONE                                                                                                      \
    "ldrb r3, [r0, #0]\n"                                                                                              \
    "lsls r3, r3, #30\n"                                                                                               \
    "lsrs r3, r3, #30\n" TG_SPARSE_WEIGHT("1") "ldrsb r3, [r1, r3]\n"                                                  \
                                               "muls r3, r2, r3\n"                                                     \
                                               "adds r4, r4, r3\n"                                                     \
                                               "add r1, lr\n"                                                          \
                                               "ldrb r3, [r0, #0]\n"                                                   \
                                               "lsls r3, r3, #28\n"                                                    \
                                               "lsrs r3, r3, #30\n" TG_SPARSE_WEIGHT(                                  \
                                                   "2") "ldrsb r3, [r1, r3]\n"                                         \
                                                        "muls r3, r2, r3\n"                                            \
                                                        "adds r4, r4, r3\n"                                            \
                                                        "adds r1, #4\n"                                                \
                                                        "ldrb r3, [r0, #0]\n"                                          \
                                                        "lsls r3, r3, #26\n"                                           \
                                                        "lsrs r3, r3, #30\n" TG_SPARSE_WEIGHT(                         \
                                                            "3") "ldrsb r3, [r1, r3]\n"                                \
                                                                 "muls r3, r2, r3\n"                                   \
                                                                 "adds r4, r4, r3\n"                                   \
                                                                 "add r1, lr\n"                                        \
                                                                 "ldrb r3, [r0, #0]\n"                                 \
                                                                 "lsrs r3, r3, #6\n" TG_SPARSE_WEIGHT(                 \
                                                                     "4") "ldrsb r3, [r1, r3]\n"                       \
                                                                          "muls r3, r2, r3\n"                          \
                                                                          "adds r4, r4, r3\n"                          \
                                                                          "adds r1, #4\n" TG_SPARSE_MORE("5")

static TG_NOINLINE void tg_nm_four(tg_sparse_job_t *job)
{
    TG_SPARSE_RUN(job, TG_SPARSE_BEGIN(TG_NM_FORM, TG_NM_BYTES) TG_SPARSE_FOUR TG_NM_FOUR TG_SPARSE_END_FOUR);
}

static TG_NOINLINE void tg_nm_one(tg_sparse_job_t *job)
{
    TG_SPARSE_RUN(job, TG_SPARSE_BEGIN(TG_NM_FORM, TG_NM_BYTES) TG_SPARSE_ONE TG_NM_ONE TG_SPARSE_END_ONE);
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

TG_SHARED void tg_sparse_nm_s8_m0(const tg_dense_s8_cfg_t *cfg, const int8_t *x, const int8_t *w, const int32_t *b,
                                  const int32_t *m, int8_t *y)
{
    tg_sparse_layer_m0(cfg, x, w, b, m, y, 1, tg_nm_four, tg_nm_one);
}
