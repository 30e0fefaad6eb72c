#include "tg_gru_s16.h"

#include <string.h>

#include "tg_dot_s16.h"
#include "tg_recurrent.h"

TG_SHARED void tg_gru_s16(const tg_gru_s16_cfg_t *cfg, const int16_t *x, const int8_t *w, const int8_t *r,
                          const int32_t *b, const int32_t *bh, const int32_t *mx, const int32_t *mh, const int32_t *f,
                          const int32_t *g, int16_t *scratch, int16_t *y, int16_t *h)
{
    const int32_t n_in = (int32_t)cfg->n_in;
    const int32_t units = (int32_t)cfg->n_hidden;
    const tg_gru_t k = {{cfg->sum_lo, cfg->sum_hi},
                        cfg->f_up,
                        cfg->g_up,
                        cfg->r_down,
                        cfg->z_down,
                        {&f[TG_GATE_MIDDLE], cfg->f_shift},
                        {&g[TG_GATE_MIDDLE], cfg->g_shift},
                        {cfg->out_m, cfg->out_shift, cfg->out_lo, cfg->out_hi}};
    const tg_runs16_t of_x = {1, n_in, 0, 0};
    const tg_runs16_t of_h = {1, units, 0, 0};
    const uint32_t bytes = cfg->n_hidden * (uint32_t)sizeof(*y);
    int16_t *const now = scratch;
    int16_t *const next = &now[units];
    int16_t *const kept = (cfg->before != 0U) ? now : &next[units]; /* what of h the reset gate lets through */
    h += cfg->at;
    x += cfg->x_at;
    y += cfg->y_at + cfg->at;
    if (cfg->fresh != 0U) {
        (void)memset(h, 0, cfg->n_hidden * sizeof(*h));
    }
    for (int32_t u = 0; u < units; ++u) {
        now[u] = (int16_t)tg_narrow_value(&k.out, h[u]);
    }
    for (uint32_t step = 0U; step < cfg->steps; ++step) {
        const uint32_t time = (cfg->reverse != 0U) ? (cfg->steps - 1U - step) : step;
        const int16_t *const input = &x[time * cfg->n_in];
        if (cfg->before == 0U) {
            for (int32_t u = 0; u < units; ++u) {
                const int32_t row = units + u;
                const int32_t px = tg_sum_out(tg_dot_s16(&of_x, input, &w[row * n_in], b[row]), mx[row], cfg->x_shift);
                const int32_t ph = tg_sum_out(tg_dot_s16(&of_h, now, &r[row * units], 0), mh[row], cfg->h_shift);
                const int32_t reset = tg_gru_gate(&k, tg_sat16(px) + ph);
                kept[u] = (int16_t)tg_narrow_value(&k.out, tg_sat16(tg_round_down(reset * h[u], k.r_down)));
            }
        }
        for (int32_t u = 0; u < units; ++u) {
            int32_t px[3];
            int32_t ph[3];
            int32_t z;
            for (int32_t gate = 0; gate < 3; ++gate) {
                const int32_t row = (gate * units) + u;
                const int32_t bias = ((gate == 2) && (cfg->before != 0U)) ? bh[u] : 0;
                const int16_t *const state = (gate == 2) ? kept : now;
                px[gate] =
                    tg_sat16(tg_sum_out(tg_dot_s16(&of_x, input, &w[row * n_in], b[row]), mx[row], cfg->x_shift));
                ph[gate] = tg_sum_out(tg_dot_s16(&of_h, state, &r[row * units], bias), mh[row], cfg->h_shift);
            }
            z = tg_gru_gate(&k, px[0] + ph[0]);
            if (cfg->before != 0U) {
                ph[2] = tg_round_down(tg_gru_gate(&k, px[1] + ph[1]) * tg_sat16(ph[2]), k.r_down);
            }
            h[u] = (int16_t)tg_gru_unit(&k, z, px[2] + ph[2], h[u]);
            next[u] = (int16_t)tg_narrow_value(&k.out, h[u]);
        }
        (void)memcpy(now, next, bytes);
        (void)memcpy(&y[time * cfg->y_step], next, bytes);
    }
    for (uint32_t time = cfg->steps; time < (cfg->steps + cfg->tail); ++time) {
        (void)memset(&y[time * cfg->y_step], 0, bytes);
    }
}
