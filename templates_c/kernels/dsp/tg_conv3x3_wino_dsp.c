#include "tg_conv3x3_wino_dsp.h"

#include <stddef.h>

#include "tg_epilogue_dsp.h"

/** Words that V of 64 channels take. With fewer channels the sums may have the rest. */
#define WINO_WORDS (6 * 32 * 6)

/** One tile. The assembly reads the members by position. */
typedef struct {
    const int8_t *row[6]; /**< six pixels each */
    const int32_t *w;
    const int32_t *m;
    uint32_t *sums; /**< [out_c / 2][4 rows][2 channels][6 positions]; or 0: they are on the stack */
    int8_t *y;      /**< the first of 4 x 4 pixels */
    int32_t in_c;
    int32_t out_c;
    int32_t y_row;  /**< bytes from row to row of y */
    int32_t offset; /**< rounding and zero point: tg_output_dsp_t */
    int32_t frame;  /**< bytes of stack */
} tg_wino_tile_t;

/*
 * Along a row, with d the six inputs and g the three weights, the products v[i] * u[i] of
 *     v0 = 4 d0 - 5 d2 + d4            u0 = 6 g0
 *     v1 = -4 d1 - 4 d2 + d3 + d4      u1 = -4 (g0 + g1 + g2)
 *     v2 = 4 d1 - 4 d2 - d3 + d4       u2 = -4 (g0 - g1 + g2)
 *     v3 = -2 d1 - d2 + 2 d3 + d4      u3 = g0 + 2 g1 + 4 g2
 *     v4 = 2 d1 - d2 - 2 d3 + d4       u4 = g0 - 2 g1 + 4 g2
 *     v5 = 4 d1 - 5 d3 + d5            u5 = 24 g2
 * summed over input channels and kernel rows to s[i], give 24 times the four accumulators:
 *     s0 + s1 + s2 + s3 + s4,  s1 - s2 + 2 (s3 - s4),  s1 + s2 + 4 (s3 + s4),  s1 - s2 + 8 (s3 - s4) + s5.
 *
 * v of two channels share a word and are computed together, as ordinary integers: every d is 128 too large and d4, d5
 * another 2048, which leaves v1 1280 too large and the others 2048; |v| <= 1278, so no lane is ever negative and none
 * borrows from the other. The constants take the surplus off again, and carry the bias in s1.
 */

#if TG_DSP_NAKED

/** The compiler must not look through the call: it sees no use of the argument. */
#define TG_WINO_ASM TG_PLACED __attribute__((naked, noinline, used))

TG_STATIC_ASSERT(offsetof(tg_wino_tile_t, w) == 24U, the_assembly_knows_the_tile);
TG_STATIC_ASSERT(offsetof(tg_wino_tile_t, frame) == 56U, the_assembly_knows_the_tile_to_its_end);

/* Input transform of two channels: r0 the row, r1 and lr the V of positions 0 and 1, r2 and r3 what d0..d3 and d4, d5
 * start from, r4 bytes of a pixel, r5 bytes of a position; r6-r11 are d0..d5. */
#define WINO_IN(first, turn)                                                                                           \
    "add r12, r0, r4\n"                                                                                                \
    "ldr r8, [r0, r4, lsl #1]\n"                                                                                       \
    "ldr r10, [r0, r4, lsl #2]\n"                                                                                      \
    "ldr r6, " first "\n"                                                                                              \
    "ldr r7, [r12]\n"                                                                                                  \
    "ldr r9, [r12, r4, lsl #1]\n"                                                                                      \
    "ldr r11, [r12, r4, lsl #2]\n"                                                                                     \
    "sxtab16 r8, r2, r8" turn "\n"                                                                                     \
    "sxtab16 r10, r3, r10" turn "\n"                                                                                   \
    "sxtab16 r6, r2, r6" turn "\n"                                                                                     \
    "sxtab16 r7, r2, r7" turn "\n"                                                                                     \
    "sxtab16 r9, r2, r9" turn "\n"                                                                                     \
    "sxtab16 r11, r3, r11" turn "\n"                                                                                   \
    "sub r12, r9, r7, lsl #2\n"                                                                                        \
    "sub r11, r11, r9, lsl #2\n"                                                                                       \
    "sub r11, r11, r12\n"                                                                                              \
    "str r11, [lr, r5, lsl #2]\n" /* v5 */                                                                             \
    "sub r11, r10, r8, lsl #2\n"                                                                                       \
    "add r6, r11, r6, lsl #2\n"                                                                                        \
    "sub r6, r6, r8\n"                                                                                                 \
    "sub r11, r11, r12\n"                                                                                              \
    "add r12, r11, r12, lsl #1\n"                                                                                      \
    "str r11, [r1, r5, lsl #1]\n" /* v2 */                                                                             \
    "sub r10, r10, r8\n"                                                                                               \
    "sub r9, r9, r7\n"                                                                                                 \
    "sub r10, r10, r9, lsl #1\n"                                                                                       \
    "add r9, r10, r9, lsl #2\n"                                                                                        \
    "str r9, [lr, r5, lsl #1]\n"  /* v3 */                                                                             \
    "str r10, [r1, r5, lsl #2]\n" /* v4 */                                                                             \
    "str r12, [lr], #24\n"        /* v1 */                                                                             \
    "str r6, [r1], #24\n"         /* v0 */

/* Two input channels of one kernel row, for two output channels at four rows: a, b, c, d hold the V. */
#define WINO_STEP(a, b, c, d)                                                                                          \
    "smlad r4, r12, " a ", r4\n"                                                                                       \
    "smlad r5, r12, " b ", r5\n"                                                                                       \
    "smlad r6, r12, " c ", r6\n"                                                                                       \
    "smlad r7, r12, " d ", r7\n"                                                                                       \
    "ldr r12, [lr], #4\n"                                                                                              \
    "smlad r8, r12, " a ", r8\n"                                                                                       \
    "smlad r9, r12, " b ", r9\n"                                                                                       \
    "smlad r10, r12, " c ", r10\n"                                                                                     \
    "smlad r11, r12, " d ", r11\n"

/* The first of three kernel rows needs four rows of V, the others one more each. */
#define WINO_LOAD(v)                                                                                                   \
    "ldr r12, [lr], #4\n"                                                                                              \
    "ldr r0, [sp, #768 + " v "]\n"                                                                                     \
    "ldr r1, [sp, #772 + " v "]\n"                                                                                     \
    "ldr r2, [sp, #776 + " v "]\n"                                                                                     \
    "ldr r3, [sp, #780 + " v "]\n"
#define WINO_REST(v)                                                                                                   \
    "ldr r12, [lr], #4\n"                                                                                              \
    "ldr r0, [sp, #784 + " v "]\n" WINO_STEP("r1", "r2", "r3", "r0") "ldr r12, [lr], #4\n"                             \
                                                                     "ldr r1, [sp, #788 + " v                          \
                                                                     "]\n" WINO_STEP("r2", "r3", "r0", "r1")
#define WINO_PAIR(v) WINO_LOAD(v) WINO_STEP("r0", "r1", "r2", "r3") WINO_REST(v)

/* Four pixels of one channel: m its multiplier, r7 the offset, r9 the first, r10 bytes of a pixel, r11 of three. */
#define WINO_OUT(m, y)                                                                                                 \
    "ldmia r12!, {r0-r5}\n"                                                                                            \
    "add r2, r1, r2\n"         /* s1 + s2 */                                                                           \
    "rsb r1, r2, r1, lsl #1\n" /* s1 - s2 */                                                                           \
    "add r4, r3, r4\n"         /* s3 + s4 */                                                                           \
    "rsb r3, r4, r3, lsl #1\n" /* s3 - s4 */                                                                           \
    "add r0, r0, r2\n"                                                                                                 \
    "add r0, r0, r4\n"                                                                                                 \
    "add r2, r2, r4, lsl #2\n"                                                                                         \
    "add r5, r5, r1\n"                                                                                                 \
    "add r5, r5, r3, lsl #3\n"                                                                                         \
    "add r1, r1, r3, lsl #1\n"                                                                                         \
    "smmla r0, r0, " m ", r7\n"                                                                                        \
    "smmla r1, r1, " m ", r7\n"                                                                                        \
    "smmla r2, r2, " m ", r7\n"                                                                                        \
    "smmla r5, r5, " m ", r7\n"                                                                                        \
    "ssat r0, #8, r0, asr #8\n"                                                                                        \
    "ssat r1, #8, r1, asr #8\n"                                                                                        \
    "ssat r2, #8, r2, asr #8\n"                                                                                        \
    "ssat r5, #8, r5, asr #8\n"                                                                                        \
    "strb r1, [r9, r10]\n"                                                                                             \
    "strb r2, [r9, r10, lsl #1]\n"                                                                                     \
    "strb r5, [r9, r11]\n"                                                                                             \
    "strb r0, " y "\n"

/*
 * Frame: 768 bytes of nothing, then V [6 positions][in_c / 2][6 rows] of pairs of int16, then perhaps the sums. In the
 * middle part SP is 768 bytes below the V that is read, because no register is left to point there: r0-r3 V, r4-r11
 * sums, r12 and lr weights. It goes over one position once for each two output channels, then never back. s0 sums, s1
 * their end for this position, s2 and s3 SP at the end and the start of it, s4 bytes of a position, s5 and s6 sums of
 * the first two channels: of this position, and their end; s7 all sums, s8 the tile, s9 SP on entry.
 */
TG_WINO_ASM static void tg_wino_tile(const tg_wino_tile_t *t __attribute__((unused)))
{
    /* clang-format off */
    __asm__ volatile(".syntax unified\n"
                     "push {r4-r11, lr}\n"
                     "vmov s8, r0\n"
                     "mov r7, sp\n"
                     "vmov s9, r7\n"
                     "ldr r4, [r0, #40]\n"
                     "ldr r6, [r0, #56]\n"
                     "sub sp, sp, r6\n"
                     "add r5, r4, r4, lsl #1\n"
                     "add r1, sp, #768\n"
                     "ldr r7, [r0, #32]\n"
                     "cmp r7, #0\n"
                     "itt eq\n"
                     "addeq r7, r1, r5, lsl #3\n"
                     "addeq r7, r7, r5, lsl #4\n"
                     "lsl r5, r5, #2\n"
                     "vmov s7, r7\n"
                     "vmov s0, r0\n"
                     "add r12, r1, #24\n"
                     "vmov s3, r12\n"
                     "mov r2, #0x00800080\n"
                     "add r3, r2, #0x08000800\n"
                     "1:\n" /* a row of the image */
                     "vmov r12, s0\n"
                     "ldr r0, [r12], #4\n"
                     "vmov s0, r12\n"
                     "vmov s1, r1\n"
                     "add lr, r1, r5\n"
                     "add r12, r0, r4\n"
                     "vmov s2, r12\n"
                     "2:\n" /* eight channels */
                     WINO_IN("[r0]", "")
                     WINO_IN("[r0], #4", ", ror #8")
                     WINO_IN("[r0]", "")
                     WINO_IN("[r0], #4", ", ror #8")
                     "vmov r12, s2\n"
                     "cmp r0, r12\n"
                     "bne 2b\n"
                     "vmov r1, s1\n"
                     "vmov r12, s3\n"
                     "add r1, r1, #4\n"
                     "cmp r1, r12\n"
                     "bne 1b\n"

                     "vmov r0, s8\n"
                     "ldr lr, [r0, #24]\n"
                     "vmov r1, s7\n"
                     "ldr r2, [r0, #44]\n"
                     "add r2, r2, r2, lsl #1\n"
                     "add r2, r1, r2, lsl #5\n"
                     "add r3, r1, #24\n"
                     "mov r0, sp\n"
                     "add r4, r0, r5\n"
                     "vmov s0, r1\n"
                     "vmov s1, r2\n"
                     "vmov s2, r4\n"
                     "vmov s3, r0\n"
                     "vmov s4, r5\n"
                     "vmov s5, r1\n"
                     "vmov s6, r3\n"
                     "3:\n" /* a position of two output channels */
                     "ldr r4, [lr], #4\n" /* where the sums start */
                     "ldr r8, [lr], #4\n"
                     WINO_LOAD("0")
                     "smlad r5, r12, r1, r4\n"
                     "smlad r6, r12, r2, r4\n"
                     "smlad r7, r12, r3, r4\n"
                     "smlad r4, r12, r0, r4\n"
                     "ldr r12, [lr], #4\n"
                     "smlad r9, r12, r1, r8\n"
                     "smlad r10, r12, r2, r8\n"
                     "smlad r11, r12, r3, r8\n"
                     "smlad r8, r12, r0, r8\n"
                     "b 5f\n"
                     "4:\n" /* eight input channels */
                     WINO_LOAD("0")
                     WINO_STEP("r0", "r1", "r2", "r3")
                     "5:\n"
                     WINO_REST("0")
                     WINO_PAIR("24")
                     WINO_PAIR("48")
                     WINO_PAIR("72")
                     "add sp, sp, #96\n"
                     "vmov r12, s2\n"
                     "cmp sp, r12\n"
                     "bne 4b\n"
                     "vmov r12, s0\n"
                     "vmov r0, s3\n"
                     "vmov r1, s1\n"
                     "str r5, [r12, #48]\n"
                     "str r6, [r12, #96]\n"
                     "str r7, [r12, #144]\n"
                     "str r8, [r12, #24]\n"
                     "str r9, [r12, #72]\n"
                     "str r10, [r12, #120]\n"
                     "str r11, [r12, #168]\n"
                     "str r4, [r12], #192\n"
                     "vmov s0, r12\n"
                     "mov sp, r0\n"
                     "cmp r12, r1\n"
                     "bne 3b\n"
                     "vmov r0, s2\n" /* the next position */
                     "mov sp, r0\n"
                     "vmov s3, r0\n"
                     "vmov r3, s4\n"
                     "add r0, r0, r3\n"
                     "vmov s2, r0\n"
                     "add r1, r1, #4\n"
                     "vmov s1, r1\n"
                     "vmov r2, s5\n"
                     "add r2, r2, #4\n"
                     "vmov s5, r2\n"
                     "vmov s0, r2\n"
                     "vmov r3, s6\n"
                     "cmp r2, r3\n"
                     "bne 3b\n"

                     "vmov r0, s8\n"
                     "ldr r1, [r0, #28]\n"
                     "vmov r12, s7\n"
                     "ldr r9, [r0, #36]\n"
                     "ldr r10, [r0, #44]\n"
                     "ldr lr, [r0, #48]\n"
                     "ldr r7, [r0, #52]\n"
                     "vmov s0, r1\n"
                     "add r11, r10, r10, lsl #1\n"
                     "add r1, r12, r11, lsl #5\n"
                     "vmov s1, r1\n"
                     "sub lr, lr, #1\n"
                     "6:\n" /* two output channels */
                     "vmov r0, s0\n"
                     "ldr r6, [r0], #4\n"
                     "ldr r8, [r0], #4\n"
                     "vmov s0, r0\n"
                     WINO_OUT("r6", "[r9], #1")
                     WINO_OUT("r8", "[r9]")
                     "add r9, r9, lr\n"
                     WINO_OUT("r6", "[r9], #1")
                     WINO_OUT("r8", "[r9]")
                     "add r9, r9, lr\n"
                     WINO_OUT("r6", "[r9], #1")
                     WINO_OUT("r8", "[r9]")
                     "add r9, r9, lr\n"
                     WINO_OUT("r6", "[r9], #1")
                     WINO_OUT("r8", "[r9]")
                     "add r9, r9, lr\n"
                     "sub r9, r9, lr, lsl #2\n"
                     "sub r9, r9, #2\n"
                     "vmov r0, s1\n"
                     "cmp r12, r0\n"
                     "bne 6b\n"
                     "vmov r0, s9\n"
                     "mov sp, r0\n"
                     "pop {r4-r11, pc}\n");
    /* clang-format on */
}

#else

/** V of two channels (bytes 0 and 2 of each word), position after position, `step` words apart. */
static void tg_wino_in(const uint32_t word[6], uint32_t *v, int32_t step)
{
    uint32_t d[6];
    for (int32_t i = 0; i < 6; ++i) {
        d[i] = ((word[i] ^ 0x80808080U) & 0x00FF00FFU) + ((i < 4) ? 0U : 0x08000800U);
    }
    const uint32_t even = d[4] - (4U * d[2]);
    const uint32_t odd = d[3] - (4U * d[1]);
    v[0] = even + (4U * d[0]) - d[2];
    v[step] = even + odd;
    v[2 * step] = even - odd;
    v[3 * step] = (d[4] - d[2]) + (2U * (d[3] - d[1]));
    v[4 * step] = (d[4] - d[2]) - (2U * (d[3] - d[1]));
    v[5 * step] = d[5] - (4U * d[3]) - odd;
}

/** Four pixels of one channel from the sums of the six positions. */
static void tg_wino_out(const tg_wino_tile_t *t, const uint32_t s[6], int32_t m, int8_t *y)
{
    const uint32_t sum1 = s[1] + s[2];
    const uint32_t dif1 = s[1] - s[2];
    const uint32_t sum2 = s[3] + s[4];
    const uint32_t dif2 = s[3] - s[4];
    const uint32_t acc[4] = {s[0] + sum1 + sum2, dif1 + (2U * dif2), sum1 + (4U * sum2), dif1 + (8U * dif2) + s[5]};
    for (int32_t i = 0; i < 4; ++i) {
        y[i * t->out_c] = (int8_t)tg_ssat8(tg_smmla((int32_t)acc[i], m, t->offset) >> 8);
    }
}

static TG_NOINLINE void tg_wino_tile(const tg_wino_tile_t *t)
{
    uint32_t v[WINO_WORDS]; /* [6 positions][in_c / 2][6 rows] */
    uint32_t *const sums = (t->sums != NULL) ? t->sums : &v[18 * t->in_c];
    const int32_t pairs = t->in_c / 2;
    for (int32_t r = 0; r < 6; ++r) {
        for (int32_t c = 0; c < t->in_c; c += 4) {
            uint32_t word[6];
            for (int32_t i = 0; i < 6; ++i) {
                word[i] = tg_load32(&t->row[r][(i * t->in_c) + c]);
            }
            tg_wino_in(word, &v[(3 * c) + r], 6 * pairs);
            for (int32_t i = 0; i < 6; ++i) {
                word[i] >>= 8;
            }
            tg_wino_in(word, &v[(3 * c) + 6 + r], 6 * pairs);
        }
    }
    const int32_t *w = t->w;
    for (int32_t p = 0; p < 6; ++p) {
        for (int32_t c = 0; c < t->out_c; c += 2) {
            uint32_t *const s = &sums[(c * 24) + p]; /* [4 rows][2 channels], 6 words apart */
            for (int32_t i = 0; i < 8; ++i) {
                s[6 * i] = (uint32_t)w[i % 2];
            }
            w += 2;
            for (int32_t k = 0; k < pairs; ++k) {
                for (int32_t ky = 0; ky < 3; ++ky) {
                    for (int32_t i = 0; i < 8; ++i) {
                        const uint32_t a = v[(((p * pairs) + k) * 6) + ky + (i / 2)];
                        s[6 * i] = (uint32_t)tg_smlad((uint32_t)w[i % 2], a, (int32_t)s[6 * i]);
                    }
                    w += 2;
                }
            }
        }
    }
    for (int32_t c = 0; c < t->out_c; ++c) {
        for (int32_t r = 0; r < 4; ++r) {
            tg_wino_out(t, &sums[((c / 2) * 48) + (12 * r) + (6 * (c % 2))], t->m[c], &t->y[(r * t->y_row) + c]);
        }
    }
}

#endif

/** n bytes, a multiple of 8. */
static TG_INLINE int8_t *tg_wino_copy(int8_t *to, const int8_t *from, int32_t n)
{
    for (; n >= 16; n -= 16) {
        const uint32_t a = tg_load32(from);
        const uint32_t b = tg_load32(&from[4]);
        const uint32_t c = tg_load32(&from[8]);
        const uint32_t d = tg_load32(&from[12]);
        tg_store32(to, a);
        tg_store32(&to[4], b);
        tg_store32(&to[8], c);
        tg_store32(&to[12], d);
        from += 16;
        to += 16;
    }
    if (n > 0) {
        const uint32_t a = tg_load32(from);
        const uint32_t b = tg_load32(&from[4]);
        tg_store32(to, a);
        tg_store32(&to[4], b);
        to += 8;
    }
    return to;
}

/** n times the same byte, n a multiple of 8. */
static TG_INLINE int8_t *tg_wino_fill(int8_t *to, uint32_t four, int32_t n)
{
    for (const int8_t *const end = &to[n]; to != end; to += 8) {
        tg_store32(to, four);
        tg_store32(&to[4], four);
    }
    return to;
}

/** Where the rows of the tile at (iy, ix) are: in the image, or else put together in `edge`. */
static TG_NOINLINE void tg_wino_rows(const tg_conv3x3_wino_cfg_t *cfg, const int8_t *x, int32_t iy, int32_t ix,
                                     int8_t *edge, const int8_t *row[6])
{
    const int32_t in_c = cfg->in_c;
    const int32_t step = cfg->in_w * in_c;
    const uint32_t in_h = cfg->in_h;
    const uint32_t zp = ((uint32_t)cfg->in_zp & 0xFFU) * 0x01010101U;
    const int32_t left = (ix < 0) ? in_c : 0;
    const int32_t right = ((ix + 6) > cfg->in_w) ? in_c : 0;
    x += ((iy * cfg->in_w) + ix) * in_c;
    for (int32_t r = 0; r < 6; ++r) {
        row[r] = x;
        if ((uint32_t)(iy + r) >= in_h) {
            row[r] = edge;
            edge = tg_wino_fill(edge, zp, 6 * in_c);
        } else if ((left + right) != 0) {
            row[r] = edge;
            edge = tg_wino_fill(edge, zp, left);
            edge = tg_wino_copy(edge, &x[left], (6 * in_c) - left - right);
            edge = tg_wino_fill(edge, zp, right);
        }
        x += step;
    }
}

TG_SHARED void tg_conv3x3_wino_dsp(const tg_conv3x3_wino_cfg_t *cfg, const int8_t *x, const int32_t *w,
                                   const int32_t *m, int16_t *scratch, int8_t *y)
{
    const tg_output_dsp_t o = tg_output_dsp(40U, cfg->out_zp, cfg->lo, cfg->hi);
    const int32_t out_h = cfg->out_h;
    const int32_t out_w = cfg->out_w;
    const int32_t words = 18 * cfg->in_c;
    const int32_t more = 24 * cfg->out_c;
    const int32_t fit = ((words + more) <= WINO_WORDS) ? 1 : 0;
    tg_wino_tile_t t = {{0},      w, m, (uint32_t *)(void *)scratch, y, cfg->in_c, cfg->out_c, out_w * cfg->out_c,
                        o.offset, 0};
    t.frame = 768 + (4 * words);
    if (fit != 0) {
        t.sums = NULL;
        t.frame += 4 * more;
    }
    for (int32_t oy = 0; oy < out_h; oy += 4) {
        const int32_t top = (oy < (out_h - 4)) ? oy : (out_h - 4); /* the last tile overlaps the one before */
        for (int32_t ox = 0; ox < out_w; ox += 4) {
            const int32_t left = (ox < (out_w - 4)) ? ox : (out_w - 4);
            /* sums in scratch are not yet in use: the edges take their room */
            tg_wino_rows(cfg, x, top - cfg->pad_top, left - cfg->pad_left, (int8_t *)scratch, t.row);
            t.y = &y[((top * out_w) + left) * cfg->out_c];
            tg_wino_tile(&t);
        }
    }
    tg_clamp_dsp(&o, y, out_h * out_w * cfg->out_c);
}
