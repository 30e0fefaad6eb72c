#include "tg_lstm_s8_mve.h"

#include "tg_recurrent_mve.h"

/** What turns sums into cells and h. The assembly knows the order of the members. */
typedef struct {
    const int32_t *gates; /**< the middles of tables */
    const int32_t *inner;
    const int32_t *outer;
    int32_t f_up;
    int32_t f_shift;
    int32_t g_up;
    int32_t g_shift;
    int32_t t_shift;
    int32_t c_up;
    int32_t ig_down; /**< downwards: negative */
    int32_t t_down;
    int32_t m; /**< times 2^15 */
    int32_t h_down;
} tg_lstm_mve_t;

#if TG_MVE

/** p[unit][gate]: the sums of i, o, f, c. */
static TG_NOINLINE TG_NAKED void tg_lstm_sums(const tg_sums_mve_t *s __attribute__((unused)),
                                              const int8_t *window __attribute__((unused)),
                                              const int32_t *w __attribute__((unused)),
                                              int32_t *p __attribute__((unused)))
{
    __asm__ volatile("push {r4-r11, lr}\n"
                     "vpush {d8-d15}\n"
                     "mov r10, r1\n"
                     "mov r5, r3\n"
                     "mov r3, r2\n"
                     "ldrd r7, r8, [r0]\n"
                     "ldr r9, [r0, #8]\n"
                     "1:\n"
                     "mov r1, r10\n" TG_SUMS_MVE(TG_ROWS4_MVE, "r7", "2", "3") /* from x */
                     "vmov d0, r0, r2\n"
                     "vmov d1, r4, r6\n"
                     "vldrw.32 q1, [r3], #16\n"
                     "vldrw.32 q2, [r3], #16\n"
                     "vadd.i32 q0, q0, q1\n"
                     "vshl.i32 q0, q0, #8\n"
                     "vrmulh.s32 q0, q0, q2\n"
                     "vqmovnb.s32 q1, q0\n"
                     "vmovlb.s16 q7, q1\n" TG_SUMS_MVE(TG_ROWS4_MVE, "r8", "4", "5") /* from h */
                     "vmov d0, r0, r2\n"
                     "vmov d1, r4, r6\n"
                     "vldrw.32 q2, [r3], #16\n"
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
static TG_NOINLINE TG_NAKED void tg_lstm_units(const tg_lstm_mve_t *k __attribute__((unused)),
                                               const int32_t *p __attribute__((unused)),
                                               int32_t *c __attribute__((unused)), int8_t *h __attribute__((unused)),
                                               int32_t units __attribute__((unused)))
{
    __asm__ volatile("push {r4-r12, lr}\n"
                     "vpush {d8-d15}\n"
                     "ldr r4, [sp, #104]\n" /* units */
                     "vmov.i32 q7, #255\n"
                     "ldrd r5, r6, [r0]\n"      /* gates, inner */
                     "ldrd r7, r8, [r0, #8]\n"  /* outer, f_up */
                     "ldrd r9, r10, [r0, #16]\n" /* f_shift, g_up */
                     "ldrd r11, r12, [r0, #24]\n" /* g_shift, t_shift */
                     "1:\n"
                     "vctp.32 r4\n"
                     "vld40.32 {q0, q1, q2, q3}, [r1]\n"
                     "vld41.32 {q0, q1, q2, q3}, [r1]\n"
                     "vld42.32 {q0, q1, q2, q3}, [r1]\n"
                     "vld43.32 {q0, q1, q2, q3}, [r1]!\n" TG_CURVE_MVE("q0", "r8", "r9", "r5")
                         TG_CURVE_MVE("q1", "r8", "r9", "r5") TG_CURVE_MVE("q2", "r8", "r9", "r5")
                             TG_CURVE_MVE("q3", "r10", "r11", "r6") "vmul.i32 q0, q0, q3\n" /* i * g */
                     "ldr lr, [r0, #36]\n"
                     "vrshl.s32 q0, lr\n"
                     "vpst\n"
                     "vldrwt.32 q3, [r2]\n"
                     "vshl.i32 q2, q2, #15\n"
                     "vqdmulh.s32 q2, q2, q3\n" /* c * f >> 16 */
                     "ldr lr, [r0, #32]\n"
                     "vshl.s32 q2, lr\n"
                     "vadd.i32 q0, q0, q2\n"
                     "vqshl.s32 q0, q0, #8\n" /* 24 bits */
                     "vshr.s32 q0, q0, #8\n"
                     "vpst\n"
                     "vstrwt.32 q0, [r2], #16\n"
                     "ldr lr, [r0, #40]\n"
                     "vrshl.s32 q0, lr\n" TG_TABLE_MVE("q0", "r12", "r7") "vmul.i32 q0, q0, q1\n" /* o * t */
                     "ldr lr, [r0, #44]\n"
                     "vqdmulh.s32 q0, q0, lr\n"
                     "ldr lr, [r0, #48]\n"
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

static TG_NOINLINE void tg_lstm_sums(const tg_sums_mve_t *s, const int8_t *window, const int32_t *w, int32_t *p)
{
    const int32_t of_x = tg_vectors_mve(s->x_turns);
    for (int32_t u = 0; u < s->units; ++u) {
        int32_t from_x[4] = {0, 0, 0, 0};
        int32_t from_h[4] = {0, 0, 0, 0};
        const int32_t *const end_x = tg_rows_mve(w, window, of_x, 4, from_x);
        const int32_t *const end_h = tg_rows_mve(&end_x[8], &window[of_x], tg_vectors_mve(s->h_turns), 4, from_h);
        for (int32_t g = 0; g < 4; ++g) {
            const int32_t px = tg_clamp_word_mve(tg_sum_out_mve(end_x[g] + from_x[g], end_x[4 + g]), 16);
            p[g] = tg_clamp_word_mve(px + tg_sum_out_mve(from_h[g], end_h[g]), 16);
        }
        w = &end_h[4];
        p += 4;
    }
}

static TG_NOINLINE void tg_lstm_units(const tg_lstm_mve_t *k, const int32_t *p, int32_t *c, int8_t *h, int32_t units)
{
    for (int32_t u = 0; u < units; ++u) {
        const int32_t i = tg_curve_mve(k->gates, p[0], k->f_up, k->f_shift);
        const int32_t o = tg_curve_mve(k->gates, p[1], k->f_up, k->f_shift);
        const int32_t f = tg_curve_mve(k->gates, p[2], k->f_up, k->f_shift);
        const int32_t g = tg_curve_mve(k->inner, p[3], k->g_up, k->g_shift);
        const int32_t kept = tg_mul_half_mve(*c, f) * (int32_t)(1UL << k->c_up);
        int32_t t;
        *c = tg_clamp_word_mve(kept + tg_round_down_mve(i * g, -k->ig_down), 24);
        t = tg_curve_mve(k->outer, tg_round_down_mve(*c, -k->t_down), 0, k->t_shift);
        t = tg_round_down_mve(tg_mul_half_mve(o * t, k->m >> 15), -k->h_down);
        *h = (int8_t)tg_clamp_word_mve(t, 8);
        p += 4;
        ++c;
        ++h;
    }
}

#endif

TG_SHARED void tg_lstm_s8_mve(const tg_lstm_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, const int32_t *f,
                              const int32_t *g, const int32_t *t, int16_t *scratch, int8_t *y, int8_t *h, int32_t *c)
{
    const int32_t units = (int32_t)cfg->n_hidden;
    const tg_sums_mve_t sums = {((int32_t)cfg->n_in - 1) / 16, (units - 1) / 16, units};
    const tg_lstm_mve_t k = {&f[TG_GATE_MIDDLE],
                             &g[TG_GATE_MIDDLE],
                             &t[TG_GATE_MIDDLE],
                             cfg->f_up,
                             cfg->f_shift,
                             cfg->g_up,
                             cfg->g_shift,
                             cfg->t_shift,
                             cfg->c_up,
                             -(int32_t)cfg->ig_down,
                             -(int32_t)cfg->t_down,
                             cfg->out_m * 32768,
                             -(int32_t)cfg->out_shift};
    const int32_t of_x = tg_vectors_mve(sums.x_turns);
    int32_t *const p = (int32_t *)(void *)scratch;
    int8_t *const window = (int8_t *)&p[16 * ((units + 3) / 4)];
    int8_t *const state = &window[of_x];
    h += cfg->at;
    c += cfg->at;
    x += cfg->x_at;
    y += cfg->y_at + cfg->at;
    (void)memset(window, 0, (size_t)(of_x + tg_vectors_mve(sums.h_turns)));
    if (cfg->fresh != 0U) {
        (void)memset(c, 0, cfg->n_hidden * sizeof(*c));
    } else {
        (void)memcpy(state, h, cfg->n_hidden);
    }
    for (uint32_t step = 0U; step < cfg->steps; ++step) {
        const uint32_t time = (cfg->reverse != 0U) ? (cfg->steps - 1U - step) : step;
        (void)memcpy(window, &x[time * cfg->n_in], cfg->n_in);
        tg_lstm_sums(&sums, window, w, p);
        tg_lstm_units(&k, p, c, state, units);
        (void)memcpy(&y[time * cfg->y_step], state, cfg->n_hidden);
    }
    (void)memcpy(h, state, cfg->n_hidden);
    for (uint32_t time = cfg->steps; time < (cfg->steps + cfg->tail); ++time) {
        (void)memset(&y[time * cfg->y_step], 0, cfg->n_hidden);
    }
}
