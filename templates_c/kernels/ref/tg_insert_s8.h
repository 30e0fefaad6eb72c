/**
 * @file  tg_insert_s8.h
 * @brief Values written into a tensor at a position that comes in: a cache of fixed length, int8.
 */
#ifndef TG_INSERT_S8_H_INCLUDED
#define TG_INSERT_S8_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t outer;  /**< pieces of the cache */
    uint32_t each;   /**< of which share an index */
    uint32_t length; /**< positions of a piece */
    uint32_t count;  /**< of them are written, 1..length */
    uint32_t width;  /**< values at a position */
    int32_t zero;    /**< the index that means position 0 */
    int32_t unit;    /**< positions from an index to the next, in 65536ths; at most 2^23 */
    int32_t last;    /**< at which writing may begin: length - count, or length - 1 where it goes on at the front */
} tg_insert_s8_cfg_t;

/**
 * y = cache, then y[o][(first + t) mod length][:] = update[o][t][:] for t < count,
 * first = clamp(((at[o / each] - zero) * unit + 2^15) >> 16, 0, last). cache, y: [outer][length][width], which may be
 * the same; update: [outer][count][width], must not overlap y; at: [outer / each].
 */
void tg_insert_s8(const tg_insert_s8_cfg_t *cfg, const int8_t *cache, const int8_t *update, const int8_t *at,
                  int8_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_INSERT_S8_H_INCLUDED */
