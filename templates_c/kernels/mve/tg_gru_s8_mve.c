#include "tg_gru_s8_mve.h"

#include "tg_recurrent_mve.h"

/** What turns sums into the state and h. The assembly knows the order of the members. */
typedef struct {
    const int32_t *gates; /**< the middles of tables */
    const int32_t *inner;
    int32_t f_up;
    int32_t f_shift;
    int32_t g_up;
    int32_t g_shift;
    int32_t r_down; /**< downwards: negative */
    int32_t z_down;
    int32_t m;
    int32_t h_down;
} tg_gru_mve_t;

#if TG_MVE

/** p[unit]: the sums of z and r, what x and what h bring to that of the candidate. */
static TG_NOINLINE TG_NAKED void tg_gru_sums(const tg_sums_mve_t *s __attribute__((unused)),
                                             const int8_t *window __attribute__((unused)),
                                             const int32_t *w __attribute__((unused)),
                                             int32_t *p __attribute__((unused)))
{
    __asm__ volatile("push {r4-r11, lr}\n"
                     "vpush {d8-d15}\n"
                     "mov r10, r1\n"
                     "mov r5, r3\n"
                     "mov r3, r2\n"
                     "mov r11, #0\n"
                     "ldrd r7, r8, [r0]\n"
                     "ldr r9, [r0, #8]\n"
                     "1:\n"
                     "mov r1, r10\n" TG_SUMS_MVE(TG_ROWS3_MVE, "r7", "2", "3") /* from x */
                     "vmov d0, r0, r2\n"
                     "vmov d1, r4, r11\n"
                     "vldrw.32 q1, [r3], #16\n"
                     "vldrw.32 q2, [r3], #16\n"
                     "vadd.i32 q0, q0, q1\n"
                     "vshl.i32 q0, q0, #8\n"
                     "vrmulh.s32 q0, q0, q2\n"
                     "vqmovnb.s32 q1, q0\n"
                     "vmovlb.s16 q7, q1\n" TG_SUMS_MVE(TG_ROWS3_MVE, "r8", "4", "5") /* from h */
                     "vmov d0, r0, r2\n"
                     "vmov d1, r11, r4\n"
                     "vldrw.32 q1, [r3], #16\n"
                     "vldrw.32 q2, [r3], #16\n"
                     "vadd.i32 q0, q0, q1\n"
                     "vshl.i32 q0, q0, #8\n"
                     "vrmulh.s32 q0, q0, q2\n"
                     "vadd.i32 q0, q0, q7\n"
                     "vqmovnb.s32 q1, q0\n"
                     "vmovlb.s16 q0, q1\n"
                     "vstrw.32 q0, [r5], #16\n"
                     "subs r9, r9, #1\n"
                     "bgt 1b\n"
                     "vpop {d8-d15}\n"
                     "pop {r4-r11, pc}\n");
}

/** Four units at a time, as many as there are. */
static TG_NOINLINE TG_NAKED void tg_gru_units(const tg_gru_mve_t *k __attribute__((unused)),
                                              const int32_t *p __attribute__((unused)),
                                              int16_t *state __attribute__((unused)),
                                              int8_t *h __attribute__((unused)), int32_t units __attribute__((unused)))
{
    __asm__ volatile("push {r4-r12, lr}\n"
                     "vpush {d8-d15}\n"
                     "ldr r4, [sp, #104]\n" /* units */
                     "vmov.i32 q7, #255\n"
                     "ldrd r5, r6, [r0]\n"       /* gates, inner */
                     "ldrd r8, r9, [r0, #8]\n"   /* f_up, f_shift */
                     "ldrd r10, r11, [r0, #16]\n" /* g_up, g_shift */
                     "ldrd r7, r12, [r0, #24]\n" /* r_down, z_down */
                     "1:\n"
                     "vctp.32 r4\n"
                     "vld40.32 {q0, q1, q2, q3}, [r1]\n"
                     "vld41.32 {q0, q1, q2, q3}, [r1]\n"
                     "vld42.32 {q0, q1, q2, q3}, [r1]\n"
                     "vld43.32 {q0, q1, q2, q3}, [r1]!\n" TG_CURVE_MVE("q0", "r8", "r9", "r5")
                         TG_CURVE_MVE("q1", "r8", "r9", "r5") "vmul.i32 q1, q1, q3\n" /* r * what h brings */
                     "vrshl.s32 q1, r7\n"
                     "vadd.i32 q1, q1, q2\n" TG_CURVE_MVE("q1", "r10", "r11", "r6")
                     "vpst\n"
                     "vldrht.s32 q2, [r2]\n"
                     "vsub.i32 q2, q2, q1\n"
                     "vmul.i32 q2, q2, q0\n" /* z * (state - n) */
                     "vrshl.s32 q2, r12\n"
                     "vadd.i32 q1, q1, q2\n"
                     "vqmovnb.s32 q0, q1\n"
                     "vmovlb.s16 q0, q0\n"
                     "vpst\n"
                     "vstrht.32 q0, [r2], #8\n"
                     "ldr lr, [r0, #32]\n"
                     "vmul.i32 q0, q0, lr\n"
                     "ldr lr, [r0, #36]\n"
                     "vrshl.s32 q0, lr\n"
                     "vqmovnb.s32 q0, q0\n"
                     "vqmovnb.s16 q0, q0\n"
                     "vpst\n"
                     "vstrbt.32 q0, [r3], #4\n"
                     "subs r4, r4, #4\n"
                     "bgt 1b\n"
                     "vpop {d8-d15}\n"
                     "pop {r4-r12, pc}\n");
}

#else

static TG_NOINLINE void tg_gru_sums(const tg_sums_mve_t *s, const int8_t *window, const int32_t *w, int32_t *p)
{
    const int32_t of_x = tg_vectors_mve(s->x_turns);
    for (int32_t u = 0; u < s->units; ++u) {
        int32_t from_x[4] = {0, 0, 0, 0};
        int32_t rows[3] = {0, 0, 0};
        const int32_t *const end_x = tg_rows_mve(w, window, of_x, 3, from_x);
        const int32_t *const end_h = tg_rows_mve(&end_x[8], &window[of_x], tg_vectors_mve(s->h_turns), 3, rows);
        const int32_t from_h[4] = {rows[0], rows[1], 0, rows[2]};
        for (int32_t g = 0; g < 4; ++g) {
            const int32_t px = tg_clamp_word_mve(tg_sum_out_mve(end_x[g] + from_x[g], end_x[4 + g]), 16);
            p[g] = tg_clamp_word_mve(px + tg_sum_out_mve(end_h[g] + from_h[g], end_h[4 + g]), 16);
        }
        w = &end_h[8];
        p += 4;
    }
}

static TG_NOINLINE void tg_gru_units(const tg_gru_mve_t *k, const int32_t *p, int16_t *state, int8_t *h, int32_t units)
{
    for (int32_t u = 0; u < units; ++u) {
        const int32_t z = tg_curve_mve(k->gates, p[0], k->f_up, k->f_shift);
        const int32_t r = tg_curve_mve(k->gates, p[1], k->f_up, k->f_shift);
        const int32_t inside = p[2] + tg_round_down_mve(r * p[3], -k->r_down);
        const int32_t n = tg_curve_mve(k->inner, inside, k->g_up, k->g_shift);
        const int32_t v = tg_clamp_word_mve(n + tg_round_down_mve(z * (*state - n), -k->z_down), 16);
        *state = (int16_t)v;
        *h = (int8_t)tg_clamp_word_mve(tg_round_down_mve(v * k->m, -k->h_down), 8);
        p += 4;
        ++state;
        ++h;
    }
}

#endif

TG_SHARED void tg_gru_s8_mve(const tg_gru_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, const int32_t *f,
                             const int32_t *g, int16_t *scratch, int8_t *y, int16_t *h)
{
    const int32_t units = (int32_t)cfg->n_hidden;
    const tg_sums_mve_t sums = {((int32_t)cfg->n_in - 1) / 16, (units - 1) / 16, units};
    const tg_gru_mve_t k = {&f[TG_GATE_MIDDLE],    &g[TG_GATE_MIDDLE],    cfg->f_up,  cfg->f_shift,
                            cfg->g_up,             cfg->g_shift,          -(int32_t)cfg->r_down,
                            -(int32_t)cfg->z_down, cfg->out_m,            -(int32_t)cfg->out_shift};
    const int32_t of_x = tg_vectors_mve(sums.x_turns);
    const int32_t half = (int32_t)((1UL << cfg->out_shift) >> 1);
    int32_t *const p = (int32_t *)(void *)scratch;
    int8_t *const window = (int8_t *)&p[16 * ((units + 3) / 4)];
    int8_t *const state = &window[of_x];
    h += cfg->at;
    x += cfg->x_at;
    y += cfg->y_at + cfg->at;
    (void)memset(window, 0, (size_t)(of_x + tg_vectors_mve(sums.h_turns)));
    if (cfg->fresh != 0U) {
        (void)memset(h, 0, cfg->n_hidden * sizeof(*h));
    }
    for (int32_t u = 0; u < units; ++u) {
        const int32_t v = ((h[u] * cfg->out_m) + half) >> cfg->out_shift;
        state[u] = (int8_t)((v < -128) ? -128 : ((v > 127) ? 127 : v));
    }
    for (uint32_t step = 0U; step < cfg->steps; ++step) {
        const uint32_t time = (cfg->reverse != 0U) ? (cfg->steps - 1U - step) : step;
        (void)memcpy(window, &x[time * cfg->n_in], cfg->n_in);
        tg_gru_sums(&sums, window, w, p);
        tg_gru_units(&k, p, h, state, units);
        (void)memcpy(&y[time * cfg->y_step], state, cfg->n_hidden);
    }
    for (uint32_t time = cfg->steps; time < (cfg->steps + cfg->tail); ++time) {
        (void)memset(&y[time * cfg->y_step], 0, cfg->n_hidden);
    }
}
