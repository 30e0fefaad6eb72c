#include "tg_lstm_s8_dsp.h"

TG_SHARED void tg_lstm_s8_dsp(const tg_lstm_s8_dsp_cfg_t *cfg, const int8_t *x, const int32_t *w, const int32_t *f,
                              const int32_t *g, const int32_t *t, int32_t *scratch, int8_t *y, int8_t *h, int32_t *c)
{
    const int32_t units = (int32_t)cfg->n_hidden;
    const uint32_t window = ((uint32_t)cfg->x_bytes + cfg->h_bytes) / 4U; /* words */
    const uint32_t h_at = (uint32_t)cfg->x_bytes / 2U;                    /* halves */
    const int odd = (cfg->n_hidden & 1U) != 0U;
    int32_t *const cells = odd ? &scratch[2U * window] : &c[cfg->at];
    int8_t *const row = odd ? (int8_t *)&cells[cfg->n_hidden + 1U] : NULL;
    const tg_lstm_step_t s = {w,
                              &w[cfg->words],
                              &f[TG_GATE_MIDDLE],
                              &g[TG_GATE_MIDDLE],
                              cells,
                              &t[TG_GATE_MIDDLE],
                              cfg->out_m,
                              cfg->x_bytes,
                              cfg->h_bytes};
    int16_t *now = (int16_t *)(void *)scratch;
    int16_t *next = (int16_t *)(void *)&scratch[window];
    h += cfg->at;
    c += cfg->at;
    y += cfg->at;
    (void)memset(scratch, 0, 8U * window);
    if (cfg->fresh != 0U) {
        (void)memset(c, 0, cfg->n_hidden * sizeof(*c));
    } else {
        for (int32_t u = 0; u < units; ++u) {
            now[h_at + (uint32_t)u] = h[u];
        }
    }
    if (odd) {
        (void)memcpy(cells, c, cfg->n_hidden * sizeof(*c));
        cells[units] = 0;
    }
    for (uint32_t step = 0U; step < cfg->steps; ++step) {
        const uint32_t time = (cfg->reverse != 0U) ? (cfg->steps - 1U - step) : step;
        int8_t *const to = &y[time * cfg->y_step];
        int16_t *const last = now;
        tg_window_fill(now, &x[time * cfg->n_in], (int32_t)cfg->n_in);
        cfg->step(&s, now, &next[h_at], odd ? row : to);
        if (odd) {
            (void)memcpy(to, row, cfg->n_hidden);
        }
        now = next;
        next = last;
    }
    for (int32_t u = 0; u < units; ++u) {
        h[u] = (int8_t)now[h_at + (uint32_t)u];
    }
    if (odd) {
        (void)memcpy(c, cells, cfg->n_hidden * sizeof(*c));
    }
    for (uint32_t time = cfg->steps; time < (cfg->steps + cfg->tail); ++time) {
        (void)memset(&y[time * cfg->y_step], 0, cfg->n_hidden);
    }
}
