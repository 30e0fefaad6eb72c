/**
 * @file  tg_sparse_nm_s8_m0.h
 * @brief tg_sparse_nm_s8 for Cortex-M0 and M0+: same weights, same bits.
 */
#ifndef TG_SPARSE_NM_S8_M0_H_INCLUDED
#define TG_SPARSE_NM_S8_M0_H_INCLUDED

#include "tg_dense_s8.h"

#ifdef __cplusplus
extern "C" {
#endif

/** As tg_sparse_nm_s8(), which says what the stream w holds; m[0] is odd where sums or shift are large
 *  (core/tg_sparse_m0.h). The number of each channel's entries is a multiple of 4. */
void tg_sparse_nm_s8_m0(const tg_dense_s8_cfg_t *cfg, const int8_t *x, const int8_t *w, const int32_t *b,
                        const int32_t *m, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_SPARSE_NM_S8_M0_H_INCLUDED */
