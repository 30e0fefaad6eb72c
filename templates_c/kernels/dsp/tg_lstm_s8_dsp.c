#include "tg_lstm_s8_dsp.h"

TG_SHARED void tg_lstm_s8_dsp(const tg_lstm_s8_dsp_cfg_t *cfg, const int8_t *x, const int32_t *w, const int32_t *f,
                              const int32_t *g, const int32_t *t, int16_t *scratch, int8_t *y, int8_t *h, int32_t *c)
{
    const int odd = (cfg->n_hidden & 1U) != 0U;
    const int8_t *last = NULL;
    tg_windows_t v;
    tg_windows_init(&v, cfg->inputs, scratch, cfg->n_in, cfg->x_bytes, cfg->n_hidden, cfg->h_bytes);
    tg_windows_inputs(&v, w, cfg->input_words, cfg->px_words);
    int32_t *const cells = odd ? v.end : &c[cfg->at];
    int8_t *const row = odd ? (int8_t *)&cells[cfg->n_hidden + 1U] : NULL;
    tg_lstm_step_t s = {&w[cfg->input_words],
                        &w[cfg->words],
                        &f[TG_GATE_MIDDLE],
                        &g[TG_GATE_MIDDLE],
                        cells,
                        &t[TG_GATE_MIDDLE],
                        cfg->out_m,
                        (cfg->inputs != NULL) ? 0 : cfg->x_bytes,
                        cfg->h_bytes,
                        NULL};
    h += cfg->at;
    c += cfg->at;
    x += cfg->x_at;
    y += cfg->y_at + cfg->at;
    if (cfg->fresh != 0U) {
        (void)memset(c, 0, cfg->n_hidden * sizeof(*c));
    } else {
        for (uint32_t u = 0U; u < cfg->n_hidden; ++u) {
            v.now[v.h_at + u] = h[u];
        }
    }
    if (odd) {
        (void)memcpy(cells, c, cfg->n_hidden * sizeof(*c));
        cells[cfg->n_hidden] = 0;
    }
    for (uint32_t step = 0U; step < cfg->steps; ++step) {
        const uint32_t time = (cfg->reverse != 0U) ? (cfg->steps - 1U - step) : step;
        const int8_t *const input = &x[time * cfg->n_in];
        const int8_t *behind = NULL;
        int8_t *const to = &y[time * cfg->y_step];
        if ((step + 1U) < cfg->steps) {
            behind = (cfg->reverse != 0U) ? (input - cfg->n_in) : (input + cfg->n_in);
        }
        s.px = tg_windows_x(&v, step, input, behind);
        cfg->step(&s, v.now, &v.next[v.h_at], odd ? row : to);
        if (odd) {
            (void)memcpy(to, row, cfg->n_hidden);
        }
        tg_windows_turn(&v);
        last = to;
    }
    if (last != NULL) {
        (void)memcpy(h, last, cfg->n_hidden);
    }
    if (odd) {
        (void)memcpy(c, cells, cfg->n_hidden * sizeof(*c));
    }
    for (uint32_t time = cfg->steps; time < (cfg->steps + cfg->tail); ++time) {
        (void)memset(&y[time * cfg->y_step], 0, cfg->n_hidden);
    }
}
