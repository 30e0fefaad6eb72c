/**
 * @file  tg_window.h
 * @brief Which taps of a sliding window lie inside the image, along one axis.
 */
#ifndef TG_WINDOW_H_INCLUDED
#define TG_WINDOW_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Taps first <= k < end lie inside; first == end when none does. */
typedef struct {
    int32_t first;
    int32_t end;
} tg_taps_t;

/** Tap k reads position origin + k * dil of an axis of `size` values. No division: Cortex-M0 has none. */
static inline tg_taps_t tg_taps_inside(int32_t origin, int32_t size, int32_t k, int32_t dil)
{
    tg_taps_t t = {0, k};
    while ((t.first < t.end) && ((origin + (t.first * dil)) < 0)) {
        ++t.first;
    }
    while ((t.first < t.end) && ((origin + ((t.end - 1) * dil)) >= size)) {
        --t.end;
    }
    return t;
}

#ifdef __cplusplus
}
#endif

#endif /* TG_WINDOW_H_INCLUDED */
