#include "tg_dwplane3x3_dsp.h"

#if TG_DSP_NAKED

/** What the assembly works on; the first four change from channel to channel. */
typedef struct {
    const int8_t *x;
    const int32_t *w;
    int8_t *y;
    int32_t channels;
    int32_t plane_stride;
    int32_t out_chan;
    int32_t steps;   /**< out_row << 16 | row_stride */
    int32_t out_col; /**< from the first output of a pair to the second */
    int32_t
        last_col; /**< the same where no later row overwrites a second output that does not exist: 0 for one column */
    int32_t next_col; /**< from pair to pair is 2 * this */
    int32_t last;     /**< column of the last pair */
    int32_t end;      /**< offset of the row that only ends outputs */
    int32_t entry;    /**< where in the unrolled rows to begin, 4: behind them */
    int32_t top;      /**< a row above the image */
    int32_t bottom;   /**< a row below */
} tg_run_t;

/*
 * r0 input, r2 output, r1 multiplier, r3..r5 weights (0, 2) of the rows, r6 middle weights of rows 0 and 1,
 * r7 zero point and middle weight of row 2; r8 r9 and r10 r11 the two pairs of accumulators, r12 = (x0, x2) and
 * lr = (x1, x3) of a row; output 0 needs x0 x1 x2, output 1 x1 x2 x3.
 * s0 bias, s1 bias of the first row, s2 the row below, s3 out_col, s4 steps, s5 entry, s6 last pair, s7 s8 this pair's
 * input and output, s9 s10 end as offset and address, s11 entry of the first row, s12 bottom, s13 last_col,
 * s14 next_col, s15 tg_run_t
 */
#define LOAD "ldr lr,[r0]\n sxtb16 r12,lr\n sxtb16 lr,lr,ror #8\n"
#define ROW0(a, b, from_a, from_b)                                                                                     \
    "smlad " a ",r12,r3," from_a "\n smlad " b ",lr,r3," from_b "\n"                                                   \
    "smlabb " a ",lr,r6," a "\n smlatb " b ",r12,r6," b "\n"
#define ROW1(a, b)                                                                                                     \
    "smlad " a ",r12,r4," a "\n smlad " b ",lr,r4," b "\n"                                                             \
    "smlabt " a ",lr,r6," a "\n smlatt " b ",r12,r6," b "\n"
#define ROW2(a, b)                                                                                                     \
    "smlad " a ",r12,r5," a "\n smlad " b ",lr,r5," b "\n"                                                             \
    "smlabt " a ",lr,r7," a "\n smlatt " b ",r12,r7," b "\n"
/* the high half of r7 is added too, but only the low half is looked at */
#define REQUANT(a, b)                                                                                                  \
    "smmlar " a "," a ",r1,r7\n smmlar " b "," b ",r1,r7\n ssat16 " a ",#8," a "\n ssat16 " b ",#8," b "\n"
/* what is stored is free again, and serves as the index of the next store and for the steps to the next row */
#define STORE(a, b)                                                                                                    \
    "strb " a ",[r2]\n vmov " a ",s3\n strb " b ",[r2," a "]\n"                                                        \
    "vmov " a ",s4\n add r2,r2," a ",lsr #16\n uxtah r0,r0," a "\n"
/* the second output first: where there is one column only, the first overwrites it */
#define STORE_LAST(a, b) "vmov r0,s13\n strb " b ",[r2,r0]\n strb " a ",[r2]\n"
#define END_ABOVE(a, b) LOAD ROW2(a, b) REQUANT(a, b) STORE(a, b)
#define OWN_AND_BELOW(a, b, c, d) "vmov " b ",s0\n" ROW1(c, d) ROW0(a, b, b, b)

/** All channels. */
static TG_NOINLINE TG_NAKED void tg_dwplane3x3_run(tg_run_t *run __attribute__((unused)))
{
    __asm__ volatile(".syntax unified\n"
                     "push {r4-r11,lr}\n"
                     "vmov s15,r0\n"
                     "ldr r1,[r0,#24]\n vmov s4,r1\n"
                     "ldr r1,[r0,#28]\n vmov s3,r1\n"
                     "ldr r1,[r0,#32]\n vmov s13,r1\n"
                     "ldr r1,[r0,#36]\n vmov s14,r1\n"
                     "ldr r1,[r0,#44]\n vmov s9,r1\n"
                     "ldr r1,[r0,#56]\n vmov s12,r1\n"
                     "ldr r1,[r0,#48]\n"
                     "adr r2,9f\n ldrh r1,[r2,r1,lsl #1]\n add r1,r1,r2\n orr r1,r1,#1\n vmov s5,r1\n"
                     "ldr r3,[r0,#52]\n cmp r3,#0\n bne 0f\n ldrh r1,[r2,#10]\n add r1,r1,r2\n orr r1,r1,#1\n"
                     "0: vmov s11,r1\n b 1f\n"
                     ".balign 4\n"
                     "9: .short 10f - 9b,11f - 9b,12f - 9b,13f - 9b,14f - 9b,15f - 9b\n"
                     ".balign 4\n"
                     /* a channel */
                     "1: vmov lr,s15\n"
                     "ldrd r0,r12,[lr]\n"
                     "ldr r2,[lr,#8]\n"
                     "ldr r11,[lr,#40]\n add r11,r11,r0\n vmov s6,r11\n"
                     "ldmia r12!,{r1,r3-r10}\n"
                     "sub r10,r10,r8\n vmov s0,r8\n vmov s1,r9\n vmov s2,r10\n"
                     "str r12,[lr,#4]\n"
                     /* a pair of columns */
                     "2: vmov s7,r0\n vmov s8,r2\n"
                     "vmov r12,s9\n add r12,r12,r0\n vmov s10,r12\n"
                     "vmov r8,s1\n mov r9,r8\n" LOAD "vmov r10,s4\n uxtah r0,r0,r10\n"
                     "vmov r11,s11\n bx r11\n"
                     /* without a row above, the first row only begins outputs */
                     "15:\n" ROW0("r8", "r9", "r8", "r9") LOAD "uxtah r0,r0,r10\n vmov r10,s5\n bx r10\n"
                                                               "10: mov r10,r8\n mov r11,r9\n b 4f\n"
                                                               "12: mov r10,r8\n mov r11,r9\n b 5f\n"
                                                               "14: mov r10,r8\n mov r11,r9\n b 7f\n"
                                                               /* four rows */
                                                               "8:\n" END_ABOVE("r8", "r9") /* */
                     "4:\n" OWN_AND_BELOW("r8", "r9", "r10", "r11")                         /* */
                     END_ABOVE("r10", "r11")                                                /* */
                     "11:\n" OWN_AND_BELOW("r10", "r11", "r8", "r9")                        /* */
                     END_ABOVE("r8", "r9")                                                  /* */
                     "5:\n" OWN_AND_BELOW("r8", "r9", "r10", "r11")                         /* */
                     END_ABOVE("r10", "r11")                                                /* */
                     "13: vmov r11,s10\n cmp r0,r11\n"                                      /* */
                     OWN_AND_BELOW("r10", "r11", "r8", "r9") "bne 8b\n"                     /* */
                     LOAD ROW2("r8", "r9") REQUANT("r8", "r9") STORE_LAST("r8", "r9")       /* */
                     "vmov r8,s12\n cmp r8,#0\n beq 6f\n"
                     "vmov r8,s4\n add r2,r2,r8,lsr #16\n"
                     /* the last row of the image, with one below */
                     "7: vmov r0,s2\n add r10,r10,r0\n add r11,r11,r0\n"               /* */
                     ROW1("r10", "r11") REQUANT("r10", "r11") STORE_LAST("r10", "r11") /* */
                     /* the next pair; when the number of columns is odd, the last overlaps the one before */
                     "6: vmov r0,s7\n add r0,r0,#2\n vmov r2,s8\n vmov r9,s14\n"
                     "vmov r8,s6\n subs r8,r0,r8\n"
                     "itt ls\n addls r2,r2,r9,lsl #1\n bls 2b\n"
                     "cmp r8,#1\n"
                     "ittt eq\n subeq r0,r0,#1\n addeq r2,r2,r9\n beq 2b\n"
                     /* the next channel */
                     "vmov lr,s15\n"
                     "ldrd r0,r1,[lr,#16]\n"
                     "ldr r2,[lr]\n add r2,r2,r0\n str r2,[lr]\n"
                     "ldr r2,[lr,#8]\n add r2,r2,r1\n str r2,[lr,#8]\n"
                     "ldr r2,[lr,#12]\n subs r2,r2,#1\n str r2,[lr,#12]\n"
                     "bne 1b\n"
                     "pop {r4-r11,pc}\n" ::
                         : "memory");
}

static inline void tg_dwplane3x3(const tg_dwplane_cfg_t *cfg, const int8_t *x, const int32_t *w, int8_t *y)
{
    const int32_t top = cfg->pad_top;
    const int32_t bottom = (((cfg->out_h + 2) - top) > cfg->in_h) ? 1 : 0;
    const int32_t rows = cfg->out_h - bottom; /* outputs whose middle row has another below it */
    const int32_t single = (cfg->out_w == 1U) ? 1 : 0;
    tg_run_t run = {
        x,
        w,
        y,
        cfg->channels,
        cfg->plane_stride,
        cfg->out_chan,
        (int32_t)(((uint32_t)cfg->out_row << 16) | cfg->row_stride),
        (single != 0) ? cfg->out_row : cfg->out_col,
        (single != 0) ? 0 : cfg->out_col,
        cfg->out_col,
        (single != 0) ? 0 : (cfg->out_w - 2),
        ((1 - top) + rows) * cfg->row_stride,
        (rows == 0) ? 4 : (-rows & 3),
        top,
        bottom,
    };
    tg_dwplane3x3_run(&run);
}

#else

static inline void tg_dwplane3x3(const tg_dwplane_cfg_t *cfg, const int8_t *x, const int32_t *w, int8_t *y)
{
    tg_dwplane3x3_plain(cfg, 1, x, w, y);
}

#endif

TG_SHARED void tg_dwplane3x3_dsp(const tg_dwplane_cfg_t *cfg, const int8_t *x, const int32_t *w, int8_t *y)
{
    tg_dwplane3x3(cfg, x, w, y);
    tg_dwplane_clamp(cfg, y);
}
