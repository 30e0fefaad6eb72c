#include "tg_mul_s8_dsp.h"

#include "tg_epilogue_dsp.h"

/** Four outputs of the words a and b; the zero points stand in both halves. */
static TG_INLINE void tg_mul_quad(const tg_output_dsp_t *o, int32_t m, uint32_t a, uint32_t b, uint32_t a_zp,
                                  uint32_t b_zp, int8_t *y)
{
    const uint32_t a02 = tg_ssub16(tg_sxtb16(a), a_zp);
    const uint32_t b02 = tg_ssub16(tg_sxtb16(b), b_zp);
    const uint32_t a13 = tg_ssub16(tg_sxtb16_ror8(a), a_zp);
    const uint32_t b13 = tg_ssub16(tg_sxtb16_ror8(b), b_zp);
    y[0] = tg_requant_dsp(o, tg_smlabb(a02, b02, 0), m);
    y[1] = tg_requant_dsp(o, tg_smlabb(a13, b13, 0), m);
    y[2] = tg_requant_dsp(o, tg_smlatt(a02, b02, 0), m);
    y[3] = tg_requant_dsp(o, tg_smlatt(a13, b13, 0), m);
    TG_STAY();
}

TG_SHARED void tg_mul_s8_dsp(const tg_mul_s8_cfg_t *cfg, const int8_t *a, const int8_t *b, int8_t *y)
{
    const tg_output_dsp_t o = tg_output_dsp(cfg->shift, cfg->out_zp, cfg->lo, cfg->hi);
    const int32_t m = cfg->m;
    const uint32_t a_zp = tg_pkhbt((uint32_t)(int32_t)cfg->a_zp, (uint32_t)(int32_t)cfg->a_zp);
    const uint32_t b_zp = tg_pkhbt((uint32_t)(int32_t)cfg->b_zp, (uint32_t)(int32_t)cfg->b_zp);
    const uint32_t n = cfg->n;
    const int8_t *const end = &a[n & ~3U];
    int8_t *const first = y;
    while (a != end) {
        tg_mul_quad(&o, m, tg_load32(a), tg_load32(b), a_zp, b_zp, y);
        a += 4;
        b += 4;
        y += 4;
    }
    for (uint32_t i = 0U; i < (n & 3U); ++i) {
        y[i] = tg_requant_dsp(&o, (a[i] - cfg->a_zp) * (b[i] - cfg->b_zp), m);
    }
    tg_clamp_dsp(&o, first, (int32_t)n);
}
