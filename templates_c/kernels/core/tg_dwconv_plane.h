/**
 * @file  tg_dwconv_plane.h
 * @brief Depthwise convolution a channel at a time, for cores without SIMD.
 *
 * A channel is copied out of the image into a plane of bytes x + 128 with its padding around it, so no output is at a
 * border; its weights become words. Rows share their padding: what follows a row is what precedes the next. With
 * stride 1 the outputs of several rows are one run of sums, those between the rows left out at the end.
 */
#ifndef TG_DWCONV_PLANE_H_INCLUDED
#define TG_DWCONV_PLANE_H_INCLUDED

#include <string.h>

#include "tg_dwconv_s8.h"
#include "tg_numerics.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Sums made before they become outputs, when a row has no more; PLANE_SUMS of kernels/small/pack.py. */
#define TG_PLANE_SUMS 128
/** Three neighbouring taps; `advance` leads from those before. */
typedef struct {
    int32_t advance;
    int32_t w[3];
} tg_taps3_t;

/** Lines of sums, one behind the other; the assembly reads it by offset. */
typedef struct {
    const uint8_t *x;
    const tg_taps3_t *taps;
    const tg_taps3_t *taps_end;
    int32_t *sum;
    int32_t *sum_end; /**< of the first line; passed by where its length is no multiple of TG_PLANE_STEP1 or 2 */
    int32_t start;    /**< of a sum */
    int32_t lines;
    uint32_t x_line;   /**< bytes from line to line of x */
    uint32_t sum_line; /**< and of sums */
} tg_run_t;

/** What all outputs of a layer share, for rows of sums. */
typedef struct {
    int32_t rows;
    int32_t cols;
    int32_t gap;  /**< sums left out between rows */
    int32_t step; /**< from output to output */
    int32_t zp;
    int32_t lo;
    int32_t hi;
    uint32_t shift;
} tg_plane_out_t;

/** (sums, multiplier, y); gives the end of y. */
typedef int8_t *(*tg_plane_out_fn_t)(const tg_plane_out_t *o, const int32_t *sum, int32_t m, int8_t *y);

/** Some of an image's channels, `channels` bytes from pixel to pixel; the assembly reads it by offset. */
typedef struct {
    const int8_t *x;
    uint8_t *plane;
    int32_t channels;
    int32_t cols;
    int32_t gap; /**< bytes left out between rows of the plane */
    int32_t rows;
} tg_plane_fill_t;

#if defined(__GNUC__) && defined(__thumb__)
#define TG_PLANE_ASM 1
#else
#define TG_PLANE_ASM 0
#endif

/* Entry and exit in Thumb-1 of a function whose argument is in r0; what they save needs no help of the compiler. */
#define TG_PLANE_ENTER                                                                                                 \
    ".syntax unified\n"                                                                                                \
    "push  {r4-r7, lr}\n"                                                                                              \
    "mov   r4, r8\n"                                                                                                   \
    "mov   r5, r9\n"                                                                                                   \
    "mov   r6, r10\n"                                                                                                  \
    "mov   r7, r11\n"                                                                                                  \
    "push  {r4-r7}\n"
#define TG_PLANE_LEAVE                                                                                                 \
    "pop   {r4-r7}\n"                                                                                                  \
    "mov   r8, r4\n"                                                                                                   \
    "mov   r9, r5\n"                                                                                                   \
    "mov   r10, r6\n"                                                                                                  \
    "mov   r11, r7\n"                                                                                                  \
    "pop   {r4-r7}\n"                                                                                                  \
    "pop   {r3}\n"                                                                                                     \
    "mov   lr, r3\n"

#if TG_PLANE_ASM && TG_SMALL_CORE
/** Outputs made at a time, and so too many at the end of a line. */
#define TG_PLANE_STEP1 4
#define TG_PLANE_STEP2 2
/* clang-format off */
#define TG_PLANE_START                                       \
    TG_PLANE_ENTER                                           \
    "ldr   r1, [r0, #32]\n"                                  \
    "ldr   r2, [r0, #28]\n"                                  \
    "ldr   r3, [r0, #24]\n"                                  \
    "ldr   r4, [r0, #0]\n"                                   \
    "push  {r1-r4}\n" /* sum_line, x_line, lines, x */       \
    "ldmia r0!, {r1-r6}\n"                                   \
    "mov   r8, r1\n"  /* x */                                \
    "mov   r12, r2\n" /* taps */                             \
    "mov   lr, r3\n"  /* taps_end */                         \
    "mov   r9, r4\n"  /* sum */                              \
    "mov   r10, r5\n" /* sum_end */                          \
    "mov   r11, r6\n" /* start */
#define TG_PLANE_NEXT_LINE                                   \
    "pop   {r0-r3}\n"                                        \
    "adds  r3, r3, r1\n"                                     \
    "mov   r8, r3\n"                                         \
    "add   r10, r0\n"                                        \
    "subs  r2, r2, #1\n"                                     \
    "push  {r0-r3}\n"                                        \
    "bne   1b\n"                                             \
    "add   sp, #16\n"                                        \
    TG_PLANE_LEAVE
/* One product: x at an offset from r6, the weight in a register that stays (keep) or goes (last). */
#define TG_PLANE_KEEP(at, x, w, sum)                         \
    "ldrb  " #x ", [r6, #" #at "]\n"                         \
    "muls  " #x ", " #w ", " #x "\n"                         \
    "adds  " #sum ", " #sum ", " #x "\n"
#define TG_PLANE_LAST(at, x, w, sum)                         \
    "ldrb  " #x ", [r6, #" #at "]\n"                         \
    "muls  " #w ", " #x ", " #w "\n"                         \
    "adds  " #sum ", " #sum ", " #w "\n"
/* One tap of four neighbouring outputs. */
#define TG_PLANE_TAP4(a, b, c, d)                            \
    "ldmia r7!, {r5}\n"                                      \
    TG_PLANE_KEEP(a, r4, r5, r0) TG_PLANE_KEEP(b, r4, r5, r1)                               \
    TG_PLANE_KEEP(c, r4, r5, r2) TG_PLANE_LAST(d, r4, r5, r3)

/** Four outputs at a time. r0-r3 sums; r4 x; r5 weight; r6 x pointer; r7 taps. */
static TG_NOINLINE void tg_plane_run1(const tg_run_t *run)
{
    register const tg_run_t *r0 __asm__("r0") = run;
    __asm__ volatile(TG_PLANE_START
                     "1:\n"
                     "mov   r7, r12\n"
                     "mov   r6, r8\n"
                     "mov   r0, r11\n"
                     "mov   r1, r11\n"
                     "mov   r2, r11\n"
                     "mov   r3, r11\n"
                     "2:\n"
                     "ldmia r7!, {r4}\n"
                     "adds  r6, r6, r4\n"
                     TG_PLANE_TAP4(0, 1, 2, 3) TG_PLANE_TAP4(1, 2, 3, 4) TG_PLANE_TAP4(2, 3, 4, 5)
                     "cmp   r7, lr\n"
                     "bne   2b\n"
                     "mov   r4, r9\n"
                     "stmia r4!, {r0-r3}\n"
                     "mov   r9, r4\n"
                     "movs  r5, #4\n"
                     "add   r8, r5\n"
                     "cmp   r4, r10\n"
                     "blo   1b\n"
                     TG_PLANE_NEXT_LINE
                     : "+r"(r0)
                     :
                     : "r1", "r2", "r3", "r12", "cc", "memory");
}

/** Two outputs, 2 bytes apart, at a time: lines of stride 2 are short. r0, r1 sums; r2 x; r3-r5 weights. */
static TG_NOINLINE void tg_plane_run2(const tg_run_t *run)
{
    register const tg_run_t *r0 __asm__("r0") = run;
    __asm__ volatile(TG_PLANE_START
                     "1:\n"
                     "mov   r7, r12\n"
                     "mov   r6, r8\n"
                     "mov   r0, r11\n"
                     "mov   r1, r11\n"
                     "2:\n"
                     "ldmia r7!, {r2-r5}\n"
                     "adds  r6, r6, r2\n"
                     TG_PLANE_KEEP(0, r2, r3, r0) TG_PLANE_KEEP(1, r2, r4, r0) TG_PLANE_KEEP(2, r2, r5, r0)
                     TG_PLANE_LAST(2, r2, r3, r1) TG_PLANE_LAST(3, r2, r4, r1) TG_PLANE_LAST(4, r2, r5, r1)
                     "cmp   r7, lr\n"
                     "bne   2b\n"
                     "mov   r2, r9\n"
                     "stmia r2!, {r0, r1}\n"
                     "mov   r9, r2\n"
                     "movs  r3, #4\n"
                     "add   r8, r3\n"
                     "cmp   r2, r10\n"
                     "blo   1b\n"
                     TG_PLANE_NEXT_LINE
                     : "+r"(r0)
                     :
                     : "r1", "r2", "r3", "r12", "cc", "memory");
}
/* clang-format on */

#elif TG_PLANE_ASM && defined(__thumb2__)
#define TG_PLANE_STEP1 4
#define TG_PLANE_STEP2 4
#define TG_PLANE_X(at) "ldrb  r4, [r8, #" #at "]\n"
#define TG_PLANE_MLA(sum, w) "mla   " #sum ", r4, " #w ", " #sum "\n"
/** Four outputs, `s` bytes apart. r0-r3 sums; r4 x; r5-r7 weights; r8 x pointer; r9 taps. */
#define TG_PLANE_RUN(name, s, products)                                                                                \
    static TG_NOINLINE void name(const tg_run_t *run)                                                                  \
    {                                                                                                                  \
        register const tg_run_t *r0 __asm__("r0") = run;                                                               \
        __asm__ volatile(".syntax unified\n"                                                                           \
                         "push  {r4-r11, lr}\n"                                                                        \
                         "ldm   r0, {r1-r9}\n"                                                                         \
                         "push  {r1, r2, r6-r9}\n" /* x, taps, start, lines, x_line, sum_line */                       \
                         "mov   r11, r1\n"         /* x */                                                             \
                         "mov   r10, r3\n"         /* taps_end */                                                      \
                         "mov   r12, r4\n"         /* sum */                                                           \
                         "mov   lr, r5\n"          /* sum_end */                                                       \
                         "1:\n"                                                                                        \
                         "ldrd  r9, r0, [sp, #4]\n"                                                                    \
                         "mov   r8, r11\n"                                                                             \
                         "mov   r1, r0\n"                                                                              \
                         "mov   r2, r0\n"                                                                              \
                         "mov   r3, r0\n"                                                                              \
                         "2:\n"                                                                                        \
                         "ldmia r9!, {r4-r7}\n"                                                                        \
                         "add   r8, r8, r4\n" products "cmp   r9, r10\n"                                               \
                         "bne   2b\n"                                                                                  \
                         "stmia r12!, {r0-r3}\n"                                                                       \
                         "add   r11, r11, #4*" #s "\n"                                                                 \
                         "cmp   r12, lr\n"                                                                             \
                         "blo   1b\n"                                                                                  \
                         "ldrd  r1, r2, [sp, #12]\n" /* lines, x_line */                                               \
                         "ldr   r3, [sp, #20]\n"                                                                       \
                         "ldr   r11, [sp]\n"                                                                           \
                         "add   lr, lr, r3\n"                                                                          \
                         "add   r11, r11, r2\n"                                                                        \
                         "str   r11, [sp]\n"                                                                           \
                         "subs  r1, r1, #1\n"                                                                          \
                         "str   r1, [sp, #12]\n"                                                                       \
                         "bne   1b\n"                                                                                  \
                         "add   sp, sp, #24\n"                                                                         \
                         "pop   {r4-r11, lr}\n"                                                                        \
                         : "+r"(r0)                                                                                    \
                         :                                                                                             \
                         : "r1", "r2", "r3", "r12", "cc", "memory");                                                   \
    }
/* clang-format off */
TG_PLANE_RUN(tg_plane_run1, 1,
             TG_PLANE_X(0) TG_PLANE_MLA(r0, r5)
             TG_PLANE_X(1) TG_PLANE_MLA(r0, r6) TG_PLANE_MLA(r1, r5)
             TG_PLANE_X(2) TG_PLANE_MLA(r0, r7) TG_PLANE_MLA(r1, r6) TG_PLANE_MLA(r2, r5)
             TG_PLANE_X(3) TG_PLANE_MLA(r1, r7) TG_PLANE_MLA(r2, r6) TG_PLANE_MLA(r3, r5)
             TG_PLANE_X(4) TG_PLANE_MLA(r2, r7) TG_PLANE_MLA(r3, r6)
             TG_PLANE_X(5) TG_PLANE_MLA(r3, r7))
TG_PLANE_RUN(tg_plane_run2, 2,
             TG_PLANE_X(0) TG_PLANE_MLA(r0, r5)
             TG_PLANE_X(1) TG_PLANE_MLA(r0, r6)
             TG_PLANE_X(2) TG_PLANE_MLA(r0, r7) TG_PLANE_MLA(r1, r5)
             TG_PLANE_X(3) TG_PLANE_MLA(r1, r6)
             TG_PLANE_X(4) TG_PLANE_MLA(r1, r7) TG_PLANE_MLA(r2, r5)
             TG_PLANE_X(5) TG_PLANE_MLA(r2, r6)
             TG_PLANE_X(6) TG_PLANE_MLA(r2, r7) TG_PLANE_MLA(r3, r5)
             TG_PLANE_X(7) TG_PLANE_MLA(r3, r6)
             TG_PLANE_X(8) TG_PLANE_MLA(r3, r7))
/* clang-format on */

#else
#define TG_PLANE_STEP1 4
#define TG_PLANE_STEP2 4
/** Outputs `stride` bytes apart: what the assembly does. */
static inline void tg_plane_run(const tg_run_t *run, int32_t stride)
{
    int32_t *sum = run->sum;
    for (int32_t line = 0; line < run->lines; ++line) {
        const uint8_t *x = &run->x[(uint32_t)line * run->x_line];
        const int32_t *const end = &run->sum_end[(uint32_t)line * (run->sum_line / sizeof *sum)];
        do {
            for (int32_t i = 0; i < TG_PLANE_STEP1; ++i) {
                const uint8_t *p = x;
                int32_t acc = run->start;
                for (const tg_taps3_t *t = run->taps; t != run->taps_end; ++t) {
                    p += t->advance;
                    acc += (p[0] * t->w[0]) + (p[1] * t->w[1]) + (p[2] * t->w[2]);
                }
                *sum = acc;
                ++sum;
                x += stride;
            }
        } while (sum < end);
    }
}

static TG_NOINLINE void tg_plane_run1(const tg_run_t *run)
{
    tg_plane_run(run, 1);
}

static TG_NOINLINE void tg_plane_run2(const tg_run_t *run)
{
    tg_plane_run(run, 2);
}
#endif

/** The numbers of tg_plane_out_narrow; the assembly reads it by offset. */
typedef struct {
    const int32_t *sum;
    int8_t *y;
    int32_t m_low;
    int32_t m_high;
    uint32_t shift;
    int32_t offset;
    int32_t lo;
    int32_t hi;
    int32_t step;
    int32_t gap;
    int32_t cols;
    int32_t rows;
} tg_narrow_t;

#if TG_PLANE_ASM
static TG_NOINLINE void tg_plane_narrow(tg_narrow_t *job)
{
    register tg_narrow_t *r0 __asm__("r0") = job;
    __asm__ volatile(TG_PLANE_ENTER "ldr   r1, [r0, #44]\n" /* rows */
                                    "push  {r0, r1}\n"
                                    "ldr   r1, [r0, #20]\n"
                                    "mov   r8, r1\n" /* offset */
                                    "ldr   r1, [r0, #24]\n"
                                    "mov   r9, r1\n" /* lo */
                                    "ldr   r1, [r0, #28]\n"
                                    "mov   r10, r1\n" /* hi */
                                    "ldr   r1, [r0, #32]\n"
                                    "mov   r11, r1\n" /* step */
                                    "ldr   r1, [r0, #36]\n"
                                    "lsls  r1, r1, #2\n"
                                    "mov   r12, r1\n" /* gap */
                                    "ldr   r1, [r0, #40]\n"
                                    "lsls  r1, r1, #2\n"
                                    "mov   lr, r1\n" /* cols */
                                    "ldr   r1, [r0, #4]\n"
                                    "ldr   r4, [r0, #8]\n"
                                    "ldr   r5, [r0, #12]\n"
                                    "ldr   r6, [r0, #16]\n"
                                    "ldr   r0, [r0, #0]\n"
                                    "1:\n"
                                    "mov   r7, lr\n"
                                    "adds  r7, r7, r0\n"
                                    "2:\n"
                                    "ldmia r0!, {r2}\n"
                                    "movs  r3, r2\n"
                                    "muls  r3, r4, r3\n"
                                    "asrs  r3, r3, #12\n"
                                    "muls  r2, r5, r2\n"
                                    "adds  r2, r2, r3\n"
                                    "add   r2, r8\n"
                                    "asrs  r2, r2, r6\n"
                                    "cmp   r2, r9\n"
                                    "blt   4f\n"
                                    "cmp   r2, r10\n"
                                    "bgt   5f\n"
                                    "3:\n"
                                    "strb  r2, [r1, #0]\n"
                                    "add   r1, r11\n"
                                    "cmp   r0, r7\n"
                                    "bne   2b\n"
                                    "add   r0, r12\n"
                                    "ldr   r3, [sp, #4]\n"
                                    "subs  r3, r3, #1\n"
                                    "str   r3, [sp, #4]\n"
                                    "bne   1b\n"
                                    "b     6f\n"
                                    "4:\n"
                                    "mov   r2, r9\n"
                                    "b     3b\n"
                                    "5:\n"
                                    "mov   r2, r10\n"
                                    "b     3b\n"
                                    "6:\n"
                                    "pop   {r0, r2}\n"
                                    "str   r1, [r0, #4]\n" TG_PLANE_LEAVE
                     : "+r"(r0)
                     :
                     : "r1", "r2", "r3", "r12", "cc", "memory");
}
#else
static TG_NOINLINE void tg_plane_narrow(tg_narrow_t *job)
{
    const int32_t *sum = job->sum;
    for (int32_t row = 0; row < job->rows; ++row) {
        for (int32_t i = 0; i < job->cols; ++i) {
            const int32_t v = (*sum * job->m_high) + ((*sum * job->m_low) >> 12) + job->offset;
            *job->y = (int8_t)tg_clamp(v >> job->shift, job->lo, job->hi);
            job->y += job->step;
            ++sum;
        }
        sum += job->gap;
    }
}
#endif

/**
 * Without a 64-bit product, for |sum| < 2^19 and 21 <= shift <= 42: m is a multiple of 256 (NUMERICS section 1), so
 * its upper 24 bits are two halves whose products with a sum fit 32 bits.
 */
static inline int8_t *tg_plane_out_narrow(const tg_plane_out_t *o, const int32_t *sum, int32_t m, int8_t *y)
{
    const uint32_t shift = o->shift - 20U;
    const int32_t one = (int32_t)(1UL << shift);
    tg_narrow_t job = {sum,   y,     (m >> 8) & 0xFFF, m >> 20, shift,   (one >> 1) + (o->zp * one),
                       o->lo, o->hi, o->step,          o->gap,  o->cols, o->rows};
    tg_plane_narrow(&job);
    return job.y;
}

/** The numbers of tg_plane_out_wide; the assembly reads it by offset. */
typedef struct {
    const int32_t *sum;
    int8_t *y;
    int32_t m;
    uint32_t shift;
    int32_t offset;
    int32_t step;
    int32_t gap;
    int32_t cols;
    int32_t rows;
} tg_wide_t;

#if TG_PLANE_ASM && defined(__thumb2__)
static TG_NOINLINE void tg_plane_wide(tg_wide_t *job)
{
    register tg_wide_t *r0 __asm__("r0") = job;
    __asm__ volatile(".syntax unified\n"
                     "push  {r0, r4-r11}\n"
                     "ldm   r0, {r0-r8}\n" /* sum, y, m, shift, offset, step, gap, cols, rows */
                     "1:\n"
                     "add   r9, r0, r7, lsl #2\n"
                     "2:\n"
                     "ldr   r10, [r0], #4\n"
                     "smull r11, r10, r2, r10\n"
                     "add   r10, r4\n"
                     "asr   r10, r10, r3\n"
                     "ssat  r10, #8, r10\n"
                     "strb  r10, [r1]\n"
                     "add   r1, r5\n"
                     "cmp   r0, r9\n"
                     "bne   2b\n"
                     "add   r0, r0, r6, lsl #2\n"
                     "subs  r8, r8, #1\n"
                     "bne   1b\n"
                     "mov   r12, r1\n"
                     "pop   {r0, r4-r11}\n"
                     "str   r12, [r0, #4]\n"
                     : "+r"(r0)
                     :
                     : "r1", "r2", "r3", "r12", "cc", "memory");
}
#else
static TG_NOINLINE void tg_plane_wide(tg_wide_t *job)
{
    const int32_t *sum = job->sum;
    for (int32_t row = 0; row < job->rows; ++row) {
        for (int32_t i = 0; i < job->cols; ++i) {
            const int32_t v = (tg_mul_high_wide(*sum, job->m) + job->offset) >> job->shift;
            *job->y = (int8_t)tg_clamp(v, -128, 127);
            job->y += job->step;
            ++sum;
        }
        sum += job->gap;
    }
}
#endif

/** With a 64-bit product: 33 <= shift <= 54. */
static inline int8_t *tg_plane_out_wide(const tg_plane_out_t *o, const int32_t *sum, int32_t m, int8_t *y)
{
    const uint32_t shift = o->shift - 32U;
    const int32_t one = (int32_t)(1UL << shift);
    tg_wide_t job = {sum, y, m, shift, (one >> 1) + (o->zp * one), o->step, o->gap, o->cols, o->rows};
    tg_plane_wide(&job);
    if ((o->lo > -128) || (o->hi < 127)) { /* rare: a rectifier ends at -128 in nearly every network */
        for (; y != job.y; y += o->step) {
            *y = (int8_t)tg_clamp(*y, o->lo, o->hi);
        }
    }
    return job.y;
}

/** For any sum and shift. */
static TG_NOINLINE int8_t *tg_plane_out_any(const tg_plane_out_t *o, const int32_t *sum, int32_t m, int8_t *y)
{
    for (int32_t rows = o->rows; rows > 0; --rows) {
        for (int32_t i = 0; i < o->cols; ++i) {
            *y = tg_requant_clamp(*sum, m, o->shift, o->zp, o->lo, o->hi);
            y += o->step;
            ++sum;
        }
        sum += o->gap;
    }
    return y;
}

#if TG_PLANE_ASM
static TG_NOINLINE void tg_plane_fill(const tg_plane_fill_t *job)
{
    register const tg_plane_fill_t *r0 __asm__("r0") = job;
    __asm__ volatile(TG_PLANE_ENTER "ldr   r1, [r0, #4]\n" /* plane */
                                    "ldr   r2, [r0, #8]\n" /* channels */
                                    "ldr   r3, [r0, #12]\n"
                                    "mov   r8, r3\n" /* cols */
                                    "ldr   r3, [r0, #16]\n"
                                    "mov   r9, r3\n"        /* gap */
                                    "ldr   r7, [r0, #20]\n" /* rows */
                                    "ldr   r0, [r0, #0]\n"
                                    "movs  r3, #128\n"
                                    "1:\n"
                                    "mov   r6, r8\n"
                                    "adds  r5, r6, r1\n" /* end of the row */
                                    "lsrs  r6, r6, #1\n"
                                    "bcc   2f\n"
                                    "ldrb  r4, [r0, #0]\n"
                                    "eors  r4, r3\n"
                                    "strb  r4, [r1, #0]\n"
                                    "adds  r0, r0, r2\n"
                                    "adds  r1, r1, #1\n"
                                    "2:\n"
                                    "lsrs  r6, r6, #1\n"
                                    "bcc   3f\n"
                                    "ldrb  r4, [r0, #0]\n"
                                    "eors  r4, r3\n"
                                    "strb  r4, [r1, #0]\n"
                                    "adds  r0, r0, r2\n"
                                    "ldrb  r4, [r0, #0]\n"
                                    "eors  r4, r3\n"
                                    "strb  r4, [r1, #1]\n"
                                    "adds  r0, r0, r2\n"
                                    "adds  r1, r1, #2\n"
                                    "3:\n"
                                    "cmp   r1, r5\n"
                                    "beq   5f\n"
                                    "4:\n"
                                    "ldrb  r4, [r0, #0]\n"
                                    "eors  r4, r3\n"
                                    "strb  r4, [r1, #0]\n"
                                    "adds  r0, r0, r2\n"
                                    "ldrb  r4, [r0, #0]\n"
                                    "eors  r4, r3\n"
                                    "strb  r4, [r1, #1]\n"
                                    "adds  r0, r0, r2\n"
                                    "ldrb  r4, [r0, #0]\n"
                                    "eors  r4, r3\n"
                                    "strb  r4, [r1, #2]\n"
                                    "adds  r0, r0, r2\n"
                                    "ldrb  r4, [r0, #0]\n"
                                    "eors  r4, r3\n"
                                    "strb  r4, [r1, #3]\n"
                                    "adds  r0, r0, r2\n"
                                    "adds  r1, r1, #4\n"
                                    "cmp   r1, r5\n"
                                    "bne   4b\n"
                                    "5:\n"
                                    "add   r1, r9\n"
                                    "subs  r7, r7, #1\n"
                                    "bne   1b\n" TG_PLANE_LEAVE
                     : "+r"(r0)
                     :
                     : "r1", "r2", "r3", "r12", "cc", "memory");
}
#else
static TG_NOINLINE void tg_plane_fill(const tg_plane_fill_t *job)
{
    const int8_t *x = job->x;
    uint8_t *p = job->plane;
    for (int32_t row = 0; row < job->rows; ++row) {
        for (int32_t i = 0; i < job->cols; ++i) {
            *p = (uint8_t)((uint8_t)*x ^ 0x80U);
            x += job->channels;
            ++p;
        }
        p += job->gap;
    }
}
#endif

/** How a layer lies in scratch; plane_scratch() of kernels/small/pack.py is its twin. */
typedef struct {
    int32_t in_h, in_w, out_h, out_w, k_h, k_w, stride_h, stride_w, dil_h, pad_top, pad_left;
    int32_t pitch;  /**< of the plane */
    int32_t edge;   /**< bytes before and between its rows */
    int32_t height; /**< of the plane */
    int32_t flat;   /**< not 0: the outputs of several rows are one line */
    int32_t line;   /**< sums from row to row */
    int32_t rows;   /**< of outputs at a time */
    int32_t triples;
} tg_plane_t;

static inline int32_t tg_plane_max(int32_t a, int32_t b)
{
    return (a > b) ? a : b;
}

static TG_NOINLINE void tg_plane_layout(const tg_dwconv_s8_cfg_t *cfg, tg_plane_t *g)
{
    g->in_h = cfg->in_h;
    g->in_w = cfg->in_w;
    g->out_h = cfg->out_h;
    g->out_w = cfg->out_w;
    g->k_h = cfg->k_h;
    g->k_w = cfg->k_w;
    g->stride_h = cfg->stride_h;
    g->stride_w = cfg->stride_w;
    g->dil_h = cfg->dil_h;
    g->pad_top = cfg->pad_top;
    g->pad_left = cfg->pad_left;
    if ((g->in_w == 1) && (g->k_w == 1) && (g->out_w == 1) && (g->pad_left == 0)) { /* a column becomes a row */
        g->in_w = g->in_h;
        g->out_w = g->out_h;
        g->k_w = g->k_h;
        g->stride_w = g->stride_h;
        g->pad_left = g->pad_top;
        g->in_h = 1;
        g->out_h = 1;
        g->k_h = 1;
        g->stride_h = 1;
        g->dil_h = 1;
        g->pad_top = 0;
    }
    g->edge = tg_plane_max(g->pad_left, ((g->out_w - 1) * g->stride_w) + g->k_w - g->pad_left - g->in_w);
    g->pitch = g->in_w + g->edge;
    g->height = tg_plane_max(g->pad_top + g->in_h, ((g->out_h - 1) * g->stride_h) + ((g->k_h - 1) * g->dil_h) + 1);
    g->flat = ((g->stride_h == 1) && (g->stride_w == 1)) ? 1 : 0;
    const int32_t step = (g->stride_w == 1) ? TG_PLANE_STEP1 : TG_PLANE_STEP2;
    g->line = (g->flat != 0) ? g->pitch : ((g->out_w + step - 1) & -step);
    g->rows = 1;
    while ((g->rows < g->out_h) && (((g->rows + 1) * g->line) <= TG_PLANE_SUMS)) {
        ++g->rows;
    }
    g->triples = 0;
    for (int32_t k = g->k_w; k > 0; k -= 3) {
        g->triples += g->k_h;
    }
}

/** From each three taps to the next, the same for all channels. */
static inline void tg_plane_advances(const tg_plane_t *g, tg_taps3_t *taps)
{
    int32_t at = 0; /* of the last three taps */
    int32_t row = 0;
    for (int32_t ky = g->k_h; ky > 0; --ky) {
        int32_t next = row;
        for (int32_t k = g->k_w; k > 0; k -= 3) {
            taps->advance = next - at;
            ++taps;
            at = next;
            next += 3;
        }
        row += g->dil_h * g->pitch;
    }
}

/** Weights of one channel as words; gives the channel after it. */
static TG_NOINLINE const int8_t *tg_plane_taps(const int8_t *w, tg_taps3_t *taps, const tg_taps3_t *end)
{
    do {
        taps->w[0] = w[0];
        taps->w[1] = w[1];
        taps->w[2] = w[2];
        w += 3;
        ++taps;
    } while (taps != end);
    return w;
}

/** The layer; see tg_dwconv_s8_m0.h. Inlined with a constant `make`: no call by pointer remains. */
static TG_INLINE void tg_dwconv_plane(const tg_dwconv_s8_cfg_t *cfg, const int8_t *x, const int8_t *w, const int32_t *b,
                                      const int32_t *m, int16_t *scratch, int8_t *y, tg_plane_out_fn_t make)
{
    const int32_t in_c = cfg->in_c;
    const int32_t out_c = cfg->out_c;
    tg_plane_t g;
    tg_plane_layout(cfg, &g);
    tg_taps3_t *const taps = (tg_taps3_t *)(void *)scratch;
    int32_t *const sums = (int32_t *)(void *)&taps[g.triples];
    uint8_t *const plane = (uint8_t *)&sums[(g.rows * g.line) + TG_PLANE_STEP1];
    tg_plane_fill_t fill = {x, &plane[(g.pad_top * g.pitch) + g.edge], in_c, g.in_w, g.pitch - g.in_w, g.in_h};
    tg_plane_out_t o = {0, g.out_w, g.line - g.out_w, out_c, cfg->out_zp, cfg->lo, cfg->hi, cfg->shift};
    const uint32_t x_line = (uint32_t)(g.stride_h * g.pitch);
    int32_t again = 0; /* output channels still to come from the plane */
    tg_plane_advances(&g, taps);
    (void)memset(plane, (int32_t)cfg->in_zp + 128, (size_t)((g.height * g.pitch) + g.edge));
    for (int32_t c = 0; c < out_c; ++c) {
        int8_t *out = &y[c];
        tg_run_t run = {&plane[g.edge - g.pad_left],
                        taps,
                        &taps[g.triples],
                        sums,
                        NULL,
                        b[c],
                        1,
                        x_line,
                        (uint32_t)g.line * (uint32_t)sizeof *sums};
        w = tg_plane_taps(w, taps, run.taps_end);
        if (again == 0) {
            tg_plane_fill(&fill);
            ++fill.x;
            for (int32_t n = out_c; n > 0; n -= in_c) {
                ++again;
            }
        }
        --again;
        for (int32_t oy = 0; oy < g.out_h; oy += g.rows) {
            const int32_t left = g.out_h - oy;
            o.rows = (left < g.rows) ? left : g.rows;
            if (g.flat != 0) {
                run.sum_end = &sums[((o.rows - 1) * g.line) + g.out_w];
            } else {
                run.sum_end = &sums[g.out_w];
                run.lines = o.rows;
            }
            if (g.stride_w == 1) {
                tg_plane_run1(&run);
            } else {
                tg_plane_run2(&run);
            }
            out = ((m[c] & 1) != 0) ? tg_plane_out_any(&o, sums, m[c] - 1, out) : make(&o, sums, m[c], out);
            run.x += (uint32_t)o.rows * x_line;
        }
    }
}

#ifdef __cplusplus
}
#endif

#endif /* TG_DWCONV_PLANE_H_INCLUDED */
