#include "tg_norm_s8.h"

#include "tg_norm.h"

/** The statistics of one set, whose first value is x[0]. */
static tg_norm_set_t tg_norm_s8_set(const tg_norm_s8_cfg_t *k, const int8_t *x)
{
    const uint32_t n = k->reps * k->width;
    const uint64_t add = ((uint64_t)k->add_high << 32) | k->add_low;
    int32_t total = 0;
    uint32_t squares = 0U; /* n <= 65535: below 2^32 */
    uint64_t v;
    for (uint32_t r = 0U; r < k->reps; ++r) {
        for (uint32_t i = 0U; i < k->width; ++i) {
            const int32_t d = x[i] - k->in_zp;
            total += d;
            squares += (uint32_t)(d * d);
        }
        x += k->groups * k->width;
    }
    total = (k->centre != 0U) ? total : 0;
    v = ((uint64_t)n * squares) - (uint64_t)((int64_t)total * total);
    if (k->floor != 0U) {
        v = (v > add) ? v : add;
    } else {
        v += add;
    }
    return tg_norm_set(n, total, v, k->down);
}

TG_SHARED void tg_norm_s8(const tg_norm_s8_cfg_t *cfg, const int8_t *x, const int32_t *w, int8_t *y)
{
    const tg_norm_s8_cfg_t k = *cfg; /* a copy: y may alias anything as far as the compiler knows */
    const uint32_t columns = k.groups * k.width;
    for (uint32_t o = 0U; o < k.outer; ++o) {
        for (uint32_t g = 0U; g < k.groups; ++g) {
            const tg_norm_set_t set = tg_norm_s8_set(&k, &x[g * k.width]);
            uint32_t at = g * k.width;
            for (uint32_t r = 0U; r < k.reps; ++r) {
                for (uint32_t i = 0U; i < k.width; ++i) {
                    const int32_t *pair = &w[2U * ((g * k.width) + i) * k.w_step];
                    const int32_t z = tg_norm_value(&set, x[at + i] - k.in_zp);
                    y[at + i] = (int8_t)tg_clamp((pair[0] + tg_mul_high(z, pair[1])) >> k.shift, k.lo, k.hi);
                }
                at += columns;
            }
        }
        x += k.reps * columns;
        y += k.reps * columns;
    }
}
