#include "tg_gru_s8_dsp.h"

TG_SHARED void tg_gru_s8_dsp(const tg_gru_s8_dsp_cfg_t *cfg, const int8_t *x, const int32_t *w, const int32_t *f,
                             const int32_t *g, int16_t *scratch, int8_t *y, int16_t *h)
{
    const int odd = (cfg->n_hidden & 1U) != 0U;
    const int32_t half = (int32_t)((1UL << cfg->out_shift) >> 1);
    tg_windows_t v;
    tg_windows_init(&v, cfg->inputs, scratch, cfg->n_in, cfg->x_bytes, cfg->n_hidden, cfg->h_bytes);
    tg_windows_inputs(&v, w, cfg->input_words, cfg->px_words);
    int16_t *const state = odd ? (int16_t *)(void *)v.end : &h[cfg->at];
    int8_t *const row = odd ? (int8_t *)&state[cfg->n_hidden + 1U] : NULL;
    tg_gru_step_t s = {&w[cfg->input_words],
                       &w[cfg->words],
                       &f[TG_GATE_MIDDLE],
                       &g[TG_GATE_MIDDLE],
                       state,
                       cfg->out_m,
                       (cfg->inputs != NULL) ? 0 : cfg->x_bytes,
                       cfg->h_bytes,
                       NULL};
    h += cfg->at;
    x += cfg->x_at;
    y += cfg->y_at + cfg->at;
    if (cfg->fresh != 0U) {
        (void)memset(h, 0, cfg->n_hidden * sizeof(*h));
    } else {
        for (uint32_t u = 0U; u < cfg->n_hidden; ++u) {
            v.now[v.h_at + u] = (int16_t)tg_ssat8(((h[u] * cfg->out_m) + half) >> cfg->out_shift);
        }
    }
    if (odd) {
        (void)memcpy(state, h, cfg->n_hidden * sizeof(*h));
        state[cfg->n_hidden] = 0;
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
    }
    if (odd) {
        (void)memcpy(h, state, cfg->n_hidden * sizeof(*h));
    }
    for (uint32_t time = cfg->steps; time < (cfg->steps + cfg->tail); ++time) {
        (void)memset(&y[time * cfg->y_step], 0, cfg->n_hidden);
    }
}
