/**
 * @file  tg_image_dsp.h
 * @brief Copies of an image or of a part of it, with the zero point around it.
 */
#ifndef TG_IMAGE_DSP_H_INCLUDED
#define TG_IMAGE_DSP_H_INCLUDED

#include "tg_isa_dsp.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Like memcpy, which is a loop over bytes in newlib-nano. */
static TG_INLINE void tg_copy_bytes(int8_t *to, const int8_t *from, int32_t n)
{
    for (; n >= 4; n -= 4) {
        tg_store32(to, tg_load32(from));
        to += 4;
        from += 4;
    }
    for (; n > 0; --n) {
        *to = *from;
        ++to;
        ++from;
    }
}

/** Like memset, for the same reason. */
static TG_INLINE void tg_fill_bytes(int8_t *to, int32_t value, int32_t n)
{
    const uint32_t word = (uint32_t)(value & 0xFF) * 0x01010101U;
    for (; n >= 4; n -= 4) {
        tg_store32(to, word);
        to += 4;
    }
    for (; n > 0; --n) {
        *to = (int8_t)value;
        ++to;
    }
}

/**
 * `rows` rows of `from`, of n bytes and from_step apart, to `to`: `before` and `after` bytes of the zero point around
 * each, to_step apart.
 */
static TG_NOINLINE void tg_copy_rows(int8_t *to, int32_t to_step, const int8_t *from, int32_t from_step, int32_t rows,
                                     int32_t before, int32_t n, int32_t after, int32_t zero)
{
    for (; rows > 0; --rows) {
        tg_fill_bytes(to, zero, before);
        tg_copy_bytes(&to[before], from, n);
        tg_fill_bytes(&to[before + n], zero, after);
        to += to_step;
        from += from_step;
    }
}

/**
 * An image of `height` rows of `row` bytes with borders of the zero point, to rows of to_row bytes: `above` rows and
 * `before` bytes stand before it, and what is left of to_height and to_row behind.
 */
static TG_NOINLINE void tg_frame_image(int8_t *to, int32_t to_height, int32_t to_row, const int8_t *from,
                                       int32_t height, int32_t row, int32_t above, int32_t before, int32_t zero)
{
    const int32_t top = above * to_row;
    const int32_t below = top + (height * to_row);
    tg_fill_bytes(to, zero, top);
    tg_copy_rows(&to[top], to_row, from, row, height, before, row, to_row - before - row, zero);
    tg_fill_bytes(&to[below], zero, (to_height * to_row) - below);
}

#ifdef __cplusplus
}
#endif

#endif /* TG_IMAGE_DSP_H_INCLUDED */
