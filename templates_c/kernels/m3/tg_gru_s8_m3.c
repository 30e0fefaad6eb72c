#include "tg_gru_s8_m3.h"

#include "tg_recurrent_lanes.h"

TG_SHARED void tg_gru_s8_m3(const tg_gru_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, const int32_t *r,
                            const int32_t *bx, const int32_t *bh, const int32_t *mx, const int32_t *mh,
                            const int32_t *f, const int32_t *g, int16_t *scratch, int8_t *y, int16_t *h)
{
    const tg_gru_t k = {{cfg->sum_lo, cfg->sum_hi},
                        cfg->f_up,
                        cfg->g_up,
                        cfg->r_down,
                        cfg->z_down,
                        {&f[TG_GATE_MIDDLE], cfg->f_shift},
                        {&g[TG_GATE_MIDDLE], cfg->g_shift},
                        {cfg->out_m, cfg->out_shift, cfg->out_lo, cfg->out_hi}};
    tg_lane_layer_t layer;
    int8_t *const now = tg_lane_layer(&layer, w, (int32_t)cfg->n_in, r, (int32_t)cfg->n_hidden, scratch);
    layer.bx = bx;
    layer.bh = bh;
    layer.mx = mx;
    layer.mh = mh;
    tg_gru_lanes(cfg, &k, &layer, x, now, y, h);
}
