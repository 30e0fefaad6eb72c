#include "tg_copy_s32.h"

#include <string.h>

/** One run of n values; a call of memcpy only where it pays. */
static inline void tg_copy_run(const int32_t *x, int32_t x_step, int32_t *y, int32_t y_step, uint32_t n)
{
    if ((x_step == 1) && (y_step == 1) && (n > 4U)) {
        (void)memcpy(y, x, n * sizeof *y);
    } else {
        for (uint32_t i = 0U; i < n; ++i) {
            *y = *x;
            x += x_step;
            y += y_step;
        }
    }
}

TG_SHARED void tg_copy_s32(const tg_copy_s32_cfg_t *cfg, const int32_t *x, int32_t *y)
{
    uint32_t index[6] = {0U, 0U, 0U, 0U, 0U, 0U};
    int32_t x_at = cfg->x_offset;
    int32_t y_at = cfg->y_offset;
    int32_t outer = 5; /* dimensions left after the innermost ones have been joined to one run */
    int32_t x_step;
    int32_t y_step;
    int32_t d;
    uint32_t run;
    while ((outer > 0) && (cfg->dims[outer] == 1U)) {
        --outer;
    }
    run = cfg->dims[outer];
    x_step = cfg->x_stride[outer];
    y_step = cfg->y_stride[outer];
    while ((outer > 0) && (cfg->x_stride[outer - 1] == (x_step * (int32_t)run)) &&
           (cfg->y_stride[outer - 1] == (y_step * (int32_t)run))) {
        --outer;
        run *= cfg->dims[outer];
    }
    do {
        tg_copy_run(&x[x_at], x_step, &y[y_at], y_step, run);
        /* count: the innermost dimension that has not come to its end advances, those inside it start again */
        d = outer - 1;
        while ((d >= 0) && ((index[d] + 1U) == cfg->dims[d])) {
            x_at -= (int32_t)index[d] * cfg->x_stride[d];
            y_at -= (int32_t)index[d] * cfg->y_stride[d];
            index[d] = 0U;
            --d;
        }
        if (d >= 0) {
            ++index[d];
            x_at += cfg->x_stride[d];
            y_at += cfg->y_stride[d];
        }
    } while (d >= 0);
}
