#include "tg_rnn_s16.h"

#include <string.h>

#include "tg_dot_s16.h"
#include "tg_recurrent.h"

TG_SHARED void tg_rnn_s16(const tg_rnn_s16_cfg_t *cfg, const int16_t *x, const int8_t *w, const int8_t *r,
                          const int32_t *b, const int32_t *mx, const int32_t *mh, const int32_t *f, int16_t *scratch,
                          int16_t *y, int16_t *h)
{
    const int32_t n_in = (int32_t)cfg->n_in;
    const int32_t units = (int32_t)cfg->n_hidden;
    const tg_curve_t curve = {&f[TG_GATE_MIDDLE], cfg->f_shift};
    const tg_narrowing_t out = {cfg->out_m, cfg->out_shift, cfg->out_lo, cfg->out_hi};
    const tg_runs16_t of_x = {1, n_in, 0, 0};
    const tg_runs16_t of_h = {1, units, 0, 0};
    const uint32_t bytes = cfg->n_hidden * (uint32_t)sizeof(*h);
    int16_t *const next = scratch;
    h += cfg->at;
    x += cfg->x_at;
    y += cfg->y_at + cfg->at;
    if (cfg->fresh != 0U) {
        (void)memset(h, 0, bytes);
    }
    for (uint32_t step = 0U; step < cfg->steps; ++step) {
        const uint32_t time = (cfg->reverse != 0U) ? (cfg->steps - 1U - step) : step;
        const int16_t *const input = &x[time * cfg->n_in];
        for (int32_t u = 0; u < units; ++u) {
            const int32_t px = tg_sum_out(tg_dot_s16(&of_x, input, &w[u * n_in], b[u]), mx[u], cfg->x_shift);
            const int32_t ph = tg_sum_out(tg_dot_s16(&of_h, h, &r[u * units], 0), mh[u], cfg->h_shift);
            const int32_t p = tg_clamp(tg_sat16(tg_sat16(px) + ph), cfg->sum_lo, cfg->sum_hi);
            next[u] = (int16_t)tg_narrow_value(&out, tg_moved_curve(&curve, p, cfg->f_up));
        }
        (void)memcpy(h, next, bytes);
        (void)memcpy(&y[time * cfg->y_step], next, bytes);
    }
    for (uint32_t time = cfg->steps; time < (cfg->steps + cfg->tail); ++time) {
        (void)memset(&y[time * cfg->y_step], 0, bytes);
    }
}
