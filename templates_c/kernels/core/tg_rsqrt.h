/**
 * @file  tg_rsqrt.h
 * @brief Reciprocal square roots of sums of squares (docs/NUMERICS.md section 10).
 */
#ifndef TG_RSQRT_H_INCLUDED
#define TG_RSQRT_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

/** rint(2^31 / sqrt(2^25 * (i + 32.5))), i = 0..95: within 2^-7 of the middle of each piece. */
static const uint16_t tg_rsqrt_table[96] = {
    65030, 64052, 63117, 62222, 61363, 60540, 59748, 58987, 58254, 57548, 56867, 56210,
    55574, 54960, 54366, 53791, 53233, 52693, 52169, 51660, 51165, 50685, 50218, 49763,
    49321, 48890, 48470, 48061, 47663, 47273, 46894, 46523, 46161, 45807, 45462, 45124,
    44793, 44470, 44153, 43843, 43540, 43243, 42951, 42666, 42386, 42112, 41843, 41579,
    41320, 41065, 40816, 40571, 40330, 40093, 39861, 39632, 39408, 39187, 38970, 38756,
    38546, 38340, 38136, 37936, 37739, 37545, 37354, 37166, 36980, 36798, 36618, 36441,
    36266, 36093, 35924, 35756, 35591, 35428, 35267, 35109, 34953, 34798, 34646, 34496,
    34347, 34201, 34056, 33913, 33772, 33633, 33496, 33360, 33225, 33093, 32962, 32832,
};

/** 2^46 / sqrt(w), 2^30 <= w < 2^32, to 26 bits: two steps of Newton. Result in [2^30, 2^31). */
static inline int32_t tg_rsqrt(uint32_t w)
{
    const uint32_t g = tg_rsqrt_table[(w >> 25) - 32U];
    const uint32_t t = (uint32_t)(((uint64_t)w * (g * g)) >> 32);
    const uint32_t r = (uint32_t)(((uint64_t)(g << 16) * (0xC0000000U - t)) >> 32);
    const uint32_t s = (uint32_t)(((uint64_t)r * r) >> 32);
    const uint32_t u = (uint32_t)(((uint64_t)w * s) >> 32);
    const uint32_t y = (uint32_t)(((uint64_t)r * (0x30000000U - u)) >> 29);
    return (int32_t)((y < 0x7FFFFFFFU) ? y : 0x7FFFFFFFU);
}

#ifdef __cplusplus
}
#endif

#endif /* TG_RSQRT_H_INCLUDED */
