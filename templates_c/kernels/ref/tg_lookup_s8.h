/**
 * @file  tg_lookup_s8.h
 * @brief Rows of a table, picked by integers that come in: an embedding, int8.
 */
#ifndef TG_LOOKUP_S8_H_INCLUDED
#define TG_LOOKUP_S8_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t n;
    uint32_t width; /**< of a row */
    int32_t last;   /**< index of the last row */
    int32_t zero;   /**< the x that picks the first row */
} tg_lookup_s8_cfg_t;

/**
 * y[i][:] = rows[clamp(x[i] - zero, 0, last)][:]. x: [n]; rows: [last + 1][width]; y: [n][width], must not overlap x.
 */
void tg_lookup_s8(const tg_lookup_s8_cfg_t *cfg, const int8_t *x, const int8_t *rows, int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_LOOKUP_S8_H_INCLUDED */
