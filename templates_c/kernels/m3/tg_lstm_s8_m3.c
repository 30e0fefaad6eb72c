#include "tg_lstm_s8_m3.h"

#include "tg_recurrent_lanes.h"

TG_SHARED void tg_lstm_s8_m3(const tg_lstm_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, const int32_t *r,
                             const int32_t *bx, const int32_t *bh, const int32_t *mx, const int32_t *mh,
                             const int32_t *f, const int32_t *g, const int32_t *t, const int32_t *p, int16_t *scratch,
                             int8_t *y, int8_t *h, int32_t *c)
{
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
                         p,
                         (int32_t)cfg->n_hidden,
                         {cfg->out_m, cfg->out_shift, cfg->out_lo, cfg->out_hi}};
    tg_lane_layer_t layer;
    int8_t *const next = tg_lane_layer(&layer, w, (int32_t)cfg->n_in, r, (int32_t)cfg->n_hidden, scratch);
    layer.bx = bx;
    layer.bh = bh;
    layer.mx = mx;
    layer.mh = mh;
    tg_lstm_lanes(cfg, &k, &layer, x, next, y, h, c);
}
