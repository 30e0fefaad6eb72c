/**
 * @file  tg_gate.h
 * @brief Functions of int16 by tables of 256 intervals, interpolated: docs/NUMERICS.md section 9, twin of ops/gates.py.
 */
#ifndef TG_GATE_H_INCLUDED
#define TG_GATE_H_INCLUDED

#include "tg_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Entries below and above the middle of a table, where p is 0. */
#define TG_GATE_MIDDLE 128

/**
 * The function at p, -32768 <= p <= 32767. An entry is 65536 * base + d, d its low half: the line from one end of the
 * interval to the other. Tables are made so that no value leaves int16, and so nothing overflows.
 */
static TG_INLINE int32_t tg_gate_at(const int32_t *middle, int32_t p, uint32_t shift)
{
    const int32_t entry = middle[p >> 8];
    const int32_t d = (int16_t)(uint16_t)((uint32_t)entry & 0xFFFFU);
    return (entry + (d * (int32_t)(((uint32_t)p & 255U) << shift))) >> 16;
}

#ifdef __cplusplus
}
#endif

#endif /* TG_GATE_H_INCLUDED */
