/**
 * @file  tg_fill_s16.h
 * @brief Set a run of int16 to one value.
 */
#ifndef TG_FILL_S16_H_INCLUDED
#define TG_FILL_S16_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t n;
    int16_t value;
} tg_fill_s16_cfg_t;

/**
 * y: [n].
 */
void tg_fill_s16(const tg_fill_s16_cfg_t *cfg, int16_t *y);

#ifdef __cplusplus
}
#endif

#endif /* TG_FILL_S16_H_INCLUDED */
