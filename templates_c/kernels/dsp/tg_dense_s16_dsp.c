#include "tg_dense_s16_dsp.h"

#include "tg_epilogue_s16_dsp.h"

#if TG_DSP_ASM

/* Registers: r0 row, r1 weights; r2 a pair of inputs; r3 the weights of a channel; r4-r11 the sums; r12, lr words of
 * weights. The end of the weights is on the stack. */
#define TG_TWO(w, a, b)                                                                                                \
    "sxtb16 r3, " w "\n"                                                                                               \
    "sxtb16 " w ", " w ", ror #8\n"                                                                                    \
    "smlad " a ", r3, r2, " a "\n"                                                                                     \
    "smlad " b ", " w ", r2, " b "\n"
#define TG_PAIR(x, w)                                                                                                  \
    "ldr r2, [r0, #" x "]\n"                                                                                           \
    "ldr r12, [r1, #" w "]\n"                                                                                          \
    "ldr lr, [r1, #" w " + 4]\n" TG_TWO("r12", "r4", "r5")                                                             \
        TG_TWO("lr", "r6", "r7") "ldr r12, [r1, #" w " + 8]\n"                                                         \
                                 "ldr lr, [r1, #" w " + 12]\n" TG_TWO("r12", "r8", "r9") TG_TWO("lr", "r10", "r11")

/* the assembly reads the parameters */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"

/** acc[channel] += the products of `pairs` pairs (even) of inputs with eight channels of weights. */
static TG_NOINLINE TG_NAKED void tg_dense_mac8(const int16_t *x, const int32_t *w, int32_t pairs, int32_t *acc)
{
    __asm__ volatile(".syntax unified\n"
                     "push {r3-r11, lr}\n"
                     "add r12, r1, r2, lsl #4\n"
                     "push {r11, r12}\n" /* the end, and what keeps the stack aligned */
                     "ldm r3, {r4-r11}\n"
                     "1:\n" TG_PAIR("0", "0") TG_PAIR("4", "16") "ldr r12, [sp, #4]\n"
                                                                 "add r0, r0, #8\n"
                                                                 "add r1, r1, #32\n"
                                                                 "cmp r1, r12\n"
                                                                 "bne 1b\n"
                                                                 "ldr r3, [sp, #8]\n"
                                                                 "stm r3, {r4-r11}\n"
                                                                 "add sp, sp, #12\n"
                                                                 "pop {r4-r11, pc}\n");
}

#pragma GCC diagnostic pop

#else

static void tg_dense_mac8(const int16_t *x, const int32_t *w, int32_t pairs, int32_t *acc)
{
    for (int32_t i = 0; i < (4 * pairs); ++i) {
        const uint32_t v = tg_load32(&x[2 * (i / 4)]);
        int32_t *const a = &acc[2 * (i % 4)];
        a[0] = tg_smlad(tg_sxtb16((uint32_t)w[i]), v, a[0]);
        a[1] = tg_smlad(tg_sxtb16_ror8((uint32_t)w[i]), v, a[1]);
    }
}

#endif

/** The same for four channels: the rest of a layer. */
static TG_NOINLINE void tg_dense_mac4(const int16_t *x, const int32_t *w, int32_t pairs, int32_t *acc)
{
    const int32_t *const end = &w[2 * pairs];
    int32_t c = acc[0];
    int32_t d = acc[1];
    int32_t e = acc[2];
    int32_t f = acc[3];
    while (w != end) {
        const uint32_t v = tg_load32(x);
        c = tg_smlad(tg_sxtb16((uint32_t)w[0]), v, c);
        d = tg_smlad(tg_sxtb16_ror8((uint32_t)w[0]), v, d);
        e = tg_smlad(tg_sxtb16((uint32_t)w[1]), v, e);
        f = tg_smlad(tg_sxtb16_ror8((uint32_t)w[1]), v, f);
        x += 2;
        w += 2;
    }
    acc[0] = c;
    acc[1] = d;
    acc[2] = e;
    acc[3] = f;
}

/** n outputs from i on. */
static TG_NOINLINE void tg_dense_put(const tg_output16_dsp_t *o, const int32_t *acc, const int32_t *m, int32_t n,
                                     void *y, int32_t i)
{
    const tg_output16_dsp_t k = *o; /* read before the first store, which might alias it */
    for (int32_t j = 0; j < n; ++j) {
        tg_put_s16_dsp(&k, acc[j], m[j], y, i + j);
    }
}

TG_SHARED void tg_dense_s16_dsp(const tg_dense_s16_cfg_t *cfg, const int16_t *x, const int32_t *w, const int32_t *b,
                                const int32_t *m, int16_t *scratch, void *y)
{
    const tg_output16_dsp_t o = tg_output16_dsp(cfg->shift, cfg->out_zp, cfg->lo, cfg->hi, cfg->wide);
    const int32_t n_in = (int32_t)cfg->n_in;
    const int32_t n_out = (int32_t)cfg->n_out;
    const int32_t padded = ((n_in + 3) / 4) * 4;
    int32_t at = 0;
    for (uint32_t r = 0U; r < cfg->rows; ++r) {
        const int32_t *words = w;
        (void)memcpy(scratch, x, (size_t)n_in * sizeof *x);
        for (int32_t i = n_in; i < padded; ++i) {
            scratch[i] = 0;
        }
        for (int32_t c = 0; c < n_out; c += 8) {
            const int32_t left = n_out - c;
            if (left > 4) {
                int32_t acc[8] = {b[c], b[c + 1], b[c + 2], b[c + 3], b[c + 4], b[c + 5], b[c + 6], b[c + 7]};
                tg_dense_mac8(scratch, words, padded / 2, acc);
                tg_dense_put(&o, acc, &m[c], (left < 8) ? left : 8, y, at + c);
                words += 2 * padded;
            } else {
                int32_t acc[4] = {b[c], b[c + 1], b[c + 2], b[c + 3]};
                tg_dense_mac4(scratch, words, padded / 2, acc);
                tg_dense_put(&o, acc, &m[c], left, y, at + c);
            }
        }
        x += n_in;
        at += n_out;
    }
    if (o.limited != 0) {
        tg_limit_s16_dsp(&o, y, 0, at);
    }
}
