#include "tg_dense_s8_dsp.h"

#include "tg_epilogue_dsp.h"

/** Four channels: c, d of the first pair; e, f of the second. */
typedef struct {
    int32_t c, d, e, f;
} tg_acc4_t;

/** Four inputs. A raw word gives 256 * odd channel + even channel; its even bytes alone give the even channel.
 *  The odd sum must stay below 2^23: sum |w| < 2^16, checked by the generator. */
static TG_INLINE void tg_dense_quad(tg_acc4_t *s, const int32_t *w, uint32_t x)
{
    const uint32_t even = tg_sxtb16(x);
    const uint32_t odd = tg_sxtb16_ror8(x);
    uint32_t v = (uint32_t)w[0];
    s->d = tg_smlad(v, even, s->d);
    s->c = tg_smlad(tg_sxtb16(v), even, s->c);
    v = (uint32_t)w[1];
    s->f = tg_smlad(v, even, s->f);
    s->e = tg_smlad(tg_sxtb16(v), even, s->e);
    v = (uint32_t)w[2];
    s->d = tg_smlad(v, odd, s->d);
    s->c = tg_smlad(tg_sxtb16(v), odd, s->c);
    v = (uint32_t)w[3];
    s->f = tg_smlad(v, odd, s->f);
    s->e = tg_smlad(tg_sxtb16(v), odd, s->e);
    TG_STAY();
}

/** Four channels of one row. */
static TG_NOINLINE void tg_dense_block(const tg_output_dsp_t *o, const int8_t *x, int32_t n_in, const int32_t *w,
                                       const int32_t *b, const int32_t *m, int8_t y[4])
{
    const int8_t *const end8 = &x[n_in & ~7];
    tg_acc4_t s = {b[0], b[0], b[2], b[2]};
    while (x != end8) {
        tg_dense_quad(&s, w, tg_load32(x));
        tg_dense_quad(&s, &w[4], tg_load32(&x[4]));
        x += 8;
        w += 8;
    }
    if ((n_in & 4) != 0) {
        tg_dense_quad(&s, w, tg_load32(x));
        x += 4;
        w += 4;
    }
    if ((n_in & 3) != 0) {
        uint32_t tail = 0U; /* not a word: the input may end here */
        (void)memcpy(&tail, x, (size_t)(n_in & 3));
        tg_dense_quad(&s, w, tail);
    }
    tg_store_dsp(o, s.c, b[1] + tg_odd_sum(s.d, s.c), s.e, b[3] + tg_odd_sum(s.f, s.e), m, y);
}

TG_SHARED void tg_dense_s8_dsp(const tg_dense_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, const int32_t *b,
                               const int32_t *m, int8_t *y)
{
    const tg_output_dsp_t o = tg_output_dsp(cfg->shift, cfg->out_zp, cfg->lo, cfg->hi);
    const int32_t n_in = (int32_t)cfg->n_in;
    const int32_t n_out = (int32_t)cfg->n_out;
    const int32_t w_block = 4 * ((n_in + 3) / 4);
    for (uint32_t r = 0U; r < cfg->rows; ++r) {
        const int32_t *v = w;
        int32_t c = 0;
        for (; c < (n_out & ~3); c += 4) {
            tg_dense_block(&o, x, n_in, v, &b[c], &m[c], &y[c]);
            v += w_block;
        }
        if (c < n_out) {
            int8_t part[4];
            tg_dense_block(&o, x, n_in, v, &b[c], &m[c], part);
            (void)memcpy(&y[c], part, (size_t)(n_out - c));
        }
        tg_clamp_dsp(&o, y, n_out);
        x += n_in;
        y += n_out;
    }
}
