/**
 * @file  tg_log2.h
 * @brief Logarithms of sums of exponentials.
 */
#ifndef TG_LOG2_H_INCLUDED
#define TG_LOG2_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

/** rint(65536 * log2(1 + j / 64)), j = 0..64. */
static const int32_t tg_log2_table[65] = {
    0,     1466,  2909,  4331,  5732,  7112,  8473,  9814,  11136, 12440, 13727, 14996, 16248,
    17484, 18704, 19909, 21098, 22272, 23433, 24579, 25711, 26830, 27936, 29029, 30109, 31178,
    32234, 33279, 34312, 35334, 36346, 37346, 38336, 39316, 40286, 41246, 42196, 43137, 44068,
    44990, 45904, 46809, 47705, 48593, 49472, 50344, 51207, 52063, 52911, 53751, 54584, 55410,
    56229, 57040, 57845, 58643, 59434, 60219, 60997, 61769, 62534, 63294, 64047, 64794, 65536,
};

/** log2(sum) in Q16 by linear interpolation, 1 <= sum < 2^31 (docs/NUMERICS.md section 4). */
static TG_NOINLINE int32_t tg_log2_q16(uint32_t sum)
{
    uint32_t f = sum;
    uint32_t i;
    int32_t r;
    int32_t step;
    int32_t n = 31;
    while (f < 0x80000000U) {
        f <<= 1;
        --n;
    }
    i = (f >> 25) & 63U;
    r = (int32_t)((f >> 9) & 0xFFFFU);
    step = tg_log2_table[i + 1U] - tg_log2_table[i];
    return (n * 65536) + tg_log2_table[i] + (((step * r) + 32768) >> 16);
}

/** What the rule gives for 65535 and for 65536: the units of a sum of int8 and of int16 exponentials. */
#define TG_LOG2_OF_65535 1048575
#define TG_LOG2_OF_65536 1048576

#ifdef __cplusplus
}
#endif

#endif /* TG_LOG2_H_INCLUDED */
