#include "tg_gru_s8_dsp.h"

TG_SHARED void tg_gru_s8_dsp(const tg_gru_s8_dsp_cfg_t *cfg, const int8_t *x, const int32_t *w, const int32_t *f,
                             const int32_t *g, int16_t *scratch, int8_t *y, int16_t *h)
{
    const int32_t units = (int32_t)cfg->n_hidden;
    const int two = cfg->px_words != 0U; /* steps at once, as far as x goes */
    const int odd = (cfg->n_hidden & 1U) != 0U;
    const uint32_t x_halves = cfg->x_bytes / 2U;
    const uint32_t window = (two ? 0U : x_halves) + (cfg->h_bytes / 2U); /* halves */
    int16_t *const x_now = scratch;
    int16_t *now = two ? &scratch[2U * x_halves] : scratch;
    int16_t *next = &now[window];
    int32_t *const px = (int32_t *)(void *)&next[window];
    int32_t *const end = &px[2U * cfg->px_words];
    int16_t *const state = odd ? (int16_t *)(void *)end : &h[cfg->at];
    int8_t *const row = odd ? (int8_t *)&state[cfg->n_hidden + 1U] : NULL;
    const uint32_t h_at = window - (cfg->h_bytes / 2U);
    const tg_inputs_step_t inputs = {w, &w[cfg->input_words], px, end - cfg->px_words};
    tg_gru_step_t s = {&w[cfg->input_words],
                       &w[cfg->words],
                       &f[TG_GATE_MIDDLE],
                       &g[TG_GATE_MIDDLE],
                       state,
                       cfg->out_m,
                       two ? 0 : cfg->x_bytes,
                       cfg->h_bytes,
                       px};
    const int32_t half = (int32_t)((1UL << cfg->out_shift) >> 1);
    h += cfg->at;
    x += cfg->x_at;
    y += cfg->y_at + cfg->at;
    (void)memset(scratch, 0, (size_t)((const int8_t *)px - (const int8_t *)scratch));
    if (cfg->fresh != 0U) {
        (void)memset(h, 0, cfg->n_hidden * sizeof(*h));
    }
    for (int32_t u = 0; u < units; ++u) {
        now[h_at + (uint32_t)u] = (int16_t)tg_ssat8(((h[u] * cfg->out_m) + half) >> cfg->out_shift);
    }
    if (odd) {
        (void)memcpy(state, h, cfg->n_hidden * sizeof(*h));
        state[units] = 0;
    }
    for (uint32_t step = 0U; step < cfg->steps; ++step) {
        const uint32_t time = (cfg->reverse != 0U) ? (cfg->steps - 1U - step) : step;
        int8_t *const to = &y[time * cfg->y_step];
        int16_t *const last = now;
        const int8_t *const input = &x[time * cfg->n_in];
        if (!two) {
            tg_window_fill(now, input, (int32_t)cfg->n_in);
        } else if ((step & 1U) == 0U) {
            tg_window_fill(x_now, input, (int32_t)cfg->n_in);
            if ((step + 1U) < cfg->steps) {
                tg_window_fill(&x_now[x_halves], (cfg->reverse != 0U) ? (input - cfg->n_in) : (input + cfg->n_in),
                               (int32_t)cfg->n_in);
            }
            cfg->inputs(&inputs, x_now);
            s.px = inputs.first;
        } else {
            s.px = inputs.second;
        }
        cfg->step(&s, now, &next[h_at], odd ? row : to);
        if (odd) {
            (void)memcpy(to, row, cfg->n_hidden);
        }
        now = next;
        next = last;
    }
    if (odd) {
        (void)memcpy(h, state, cfg->n_hidden * sizeof(*h));
    }
    for (uint32_t time = cfg->steps; time < (cfg->steps + cfg->tail); ++time) {
        (void)memset(&y[time * cfg->y_step], 0, cfg->n_hidden);
    }
}
