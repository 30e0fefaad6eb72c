#include "tg_lstm_s16.h"

#include <string.h>

#include "tg_dot_s16.h"
#include "tg_recurrent.h"

TG_SHARED void tg_lstm_s16(const tg_lstm_s16_cfg_t *cfg, const int16_t *x, const int8_t *w, const int8_t *r,
                           const int32_t *b, const int32_t *mx, const int32_t *mh, const int32_t *f, const int32_t *g,
                           const int32_t *t, const int32_t *peep, int16_t *scratch, int16_t *y, int16_t *h, int32_t *c)
{
    const int32_t n_in = (int32_t)cfg->n_in;
    const int32_t units = (int32_t)cfg->n_hidden;
    const tg_lstm_t k = {{cfg->sum_lo, cfg->sum_hi},
                         cfg->f_up,
                         cfg->g_up,
                         cfg->c_up,
                         cfg->ig_down,
                         cfg->t_down,
                         cfg->coupled,
                         cfg->peep_shift,
                         {&f[TG_GATE_MIDDLE], cfg->f_shift},
                         {&g[TG_GATE_MIDDLE], cfg->g_shift},
                         {&t[TG_GATE_MIDDLE], cfg->t_shift},
                         peep,
                         units,
                         {cfg->out_m, cfg->out_shift, cfg->out_lo, cfg->out_hi}};
    const tg_runs16_t of_x = {1, n_in, 0, 0};
    const tg_runs16_t of_h = {1, units, 0, 0};
    const uint32_t bytes = cfg->n_hidden * (uint32_t)sizeof(*h);
    int16_t *const next = scratch;
    h += cfg->at;
    c += cfg->at;
    x += cfg->x_at;
    y += cfg->y_at + cfg->at;
    if (cfg->fresh != 0U) {
        (void)memset(h, 0, bytes);
        (void)memset(c, 0, cfg->n_hidden * sizeof(*c));
    }
    for (uint32_t step = 0U; step < cfg->steps; ++step) {
        const uint32_t time = (cfg->reverse != 0U) ? (cfg->steps - 1U - step) : step;
        const int16_t *const input = &x[time * cfg->n_in];
        for (int32_t u = 0; u < units; ++u) {
            int32_t from_x[4] = {b[u], b[u + units], b[u + (2 * units)], b[u + (3 * units)]};
            int32_t from_h[4] = {0, 0, 0, 0};
            int32_t p[4];
            tg_dot4_s16(&of_x, input, &w[u * n_in], units * n_in, from_x);
            tg_dot4_s16(&of_h, h, &r[u * units], units * units, from_h);
            for (int32_t gate = 0; gate < 4; ++gate) {
                const int32_t row = (gate * units) + u;
                p[gate] = tg_sat16(tg_sat16(tg_sum_out(from_x[gate], mx[row], cfg->x_shift)) +
                                   tg_sum_out(from_h[gate], mh[row], cfg->h_shift));
            }
            next[u] = (int16_t)tg_lstm_unit(&k, u, p, &c[u]);
        }
        (void)memcpy(h, next, bytes);
        (void)memcpy(&y[time * cfg->y_step], next, bytes);
    }
    for (uint32_t time = cfg->steps; time < (cfg->steps + cfg->tail); ++time) {
        (void)memset(&y[time * cfg->y_step], 0, bytes);
    }
}
