/**
 * @file  tg_channel_dsp.h
 * @brief One channel of an image whose channels lie together.
 */
#ifndef TG_CHANNEL_DSP_H_INCLUDED
#define TG_CHANNEL_DSP_H_INCLUDED

#include "tg_isa_dsp.h"

#ifdef __cplusplus
extern "C" {
#endif

/** n bytes of `from` that are `step` apart, one behind the other. */
static TG_NOINLINE void tg_copy_channel(int8_t *to, const int8_t *from, int32_t step, int32_t n)
{
    for (; n >= 4; n -= 4) {
        const uint32_t a = (uint8_t)from[0];
        const uint32_t b = (uint8_t)from[step];
        const uint32_t c = (uint8_t)from[2 * step];
        const uint32_t d = (uint8_t)from[3 * step];
        tg_store32(to, a | (b << 8) | (c << 16) | (d << 24));
        from += 4 * step;
        to += 4;
    }
    for (; n > 0; --n) {
        *to = *from;
        from += step;
        ++to;
    }
}

#ifdef __cplusplus
}
#endif

#endif /* TG_CHANNEL_DSP_H_INCLUDED */
