#include "tg_dwplane3x3s2_dsp.h"

#if TG_DSP_NAKED

/** What the assembly works on; the first four change from channel to channel. */
typedef struct {
    const int8_t *x;
    const int32_t *w;
    int8_t *y;
    int32_t channels;
    int32_t plane_stride;
    int32_t out_chan;
    int32_t row_stride;
    int32_t out_row;
    int32_t out_col; /**< from the first output of a pair to the second */
    int32_t
        last_col; /**< the same where no later row overwrites a second output that does not exist: 0 for one column */
    int32_t next_col; /**< from pair to pair is 2 * this */
    int32_t last;     /**< column of the input where the last pair starts */
    int32_t end;      /**< offset of the row that only ends outputs, or of the row below the image */
    int32_t top;      /**< a row above the image */
    int32_t bottom;   /**< a row below */
    int32_t odd;      /**< an odd number of output rows */
} tg_run_t;

/*
 * r0 input, r2 output, r1 multiplier, r3..r5 weights (0, 2) of the rows, r6 middle weights of rows 0 and 1,
 * r7 zero point and middle weight of row 2, lr row stride; r8 r9 accumulators; of a row r10 = (x0, x2),
 * r11 = (x1, x3), r12 = (x4, x2); output 0 needs x0 x1 x2, output 1 x2 x3 x4.
 * s0 bias, s1 bias of the first row, s2 the row below, s3 out_col, s4 out_row, s5 entry, s6 last pair, s7 s8 this
 * pair's input and output, s9 s10 end as offset and address, s11 entry of the first row, s12 bottom, s13 last_col, s14
 * next_col, s15 tg_run_t
 */
#define LOAD                                                                                                           \
    "ldr r11,[r0]\n ldrsb r12,[r0,#4]\n sxtb16 r10,r11\n sxtb16 r11,r11,ror #8\n"                                      \
    "pkhbt r12,r12,r10\n add r0,r0,lr\n"
#define ROW0(from_a, from_b)                                                                                           \
    "smlad r8,r10,r3," from_a "\n smladx r9,r12,r3," from_b "\n"                                                       \
    "smlabb r8,r11,r6,r8\n smlatb r9,r11,r6,r9\n"
#define ROW1 "smlad r8,r10,r4,r8\n smladx r9,r12,r4,r9\n smlabt r8,r11,r6,r8\n smlatt r9,r11,r6,r9\n"
#define ROW2 "smlad r8,r10,r5,r8\n smladx r9,r12,r5,r9\n smlabt r8,r11,r7,r8\n smlatt r9,r11,r7,r9\n"
/* the high half of r7 is added too, but only the low half is looked at */
#define REQUANT "smmlar r8,r8,r1,r7\n smmlar r9,r9,r1,r7\n ssat16 r8,#8,r8\n ssat16 r9,#8,r9\n"
/* what is stored is free again, and serves as the index of the next store and for the step to the next row */
#define STORE "strb r8,[r2]\n vmov r8,s3\n strb r9,[r2,r8]\n vmov r8,s4\n add r2,r2,r8\n"
/* the second output first: where there is one column only, the first overwrites it */
#define STORE_LAST "vmov r0,s13\n strb r9,[r2,r0]\n strb r8,[r2]\n"
#define BEGIN_FIRST LOAD ROW0("r8", "r9")
#define END_AND_BEGIN LOAD ROW2 REQUANT STORE "vmov r9,s0\n" ROW0("r9", "r9")

/** All channels. */
static TG_NOINLINE TG_NAKED void tg_dwplane3x3s2_run(tg_run_t *run __attribute__((unused)))
{
    __asm__ volatile(".syntax unified\n"
                     "push {r4-r11,lr}\n"
                     "vmov s15,r0\n"
                     "ldr r1,[r0,#28]\n vmov s4,r1\n"
                     "ldr r1,[r0,#32]\n vmov s3,r1\n"
                     "ldr r1,[r0,#36]\n vmov s13,r1\n"
                     "ldr r1,[r0,#40]\n vmov s14,r1\n"
                     "ldr r1,[r0,#48]\n vmov s9,r1\n"
                     "ldr r1,[r0,#56]\n vmov s12,r1\n"
                     "ldr r1,[r0,#60]\n"
                     "adr r2,9f\n ldrh r1,[r2,r1,lsl #1]\n add r1,r1,r2\n orr r1,r1,#1\n vmov s5,r1\n"
                     "ldr r3,[r0,#52]\n cmp r3,#0\n bne 0f\n ldrh r1,[r2,#4]\n add r1,r1,r2\n orr r1,r1,#1\n"
                     "0: vmov s11,r1\n b 1f\n"
                     ".balign 4\n"
                     "9: .short 10f - 9b,11f - 9b,15f - 9b\n"
                     ".balign 4\n"
                     /* a channel */
                     "1: vmov lr,s15\n"
                     "ldrd r0,r12,[lr]\n"
                     "ldr r2,[lr,#8]\n"
                     "ldr r11,[lr,#44]\n add r11,r11,r0\n vmov s6,r11\n"
                     "ldmia r12!,{r1,r3-r10}\n"
                     "sub r10,r10,r8\n vmov s0,r8\n vmov s1,r9\n vmov s2,r10\n"
                     "str r12,[lr,#4]\n"
                     "ldr lr,[lr,#24]\n"
                     /* a pair of columns */
                     "2: vmov s7,r0\n vmov s8,r2\n"
                     "vmov r12,s9\n add r12,r12,r0\n vmov s10,r12\n"
                     "vmov r8,s1\n mov r9,r8\n"
                     "vmov r11,s11\n bx r11\n"
                     /* without a row above, the first row only begins outputs */
                     "15:\n" BEGIN_FIRST "vmov r11,s5\n bx r11\n"
                     /* twice: a row that ends outputs and begins others, and the middle row of those */
                     "3:\n" END_AND_BEGIN "10:\n" LOAD ROW1 END_AND_BEGIN "11:\n" LOAD ROW1
                     "vmov r12,s10\n cmp r0,r12\n bne 3b\n"
                     "vmov r12,s12\n cmp r12,#0\n beq 5f\n"
                     "vmov r12,s2\n add r8,r8,r12\n add r9,r9,r12\n b 6f\n"
                     "5:\n" LOAD ROW2 "6:\n" REQUANT STORE_LAST
                     /* the next pair; when the number of columns is odd, the last overlaps the one before */
                     "vmov r0,s7\n add r0,r0,#4\n vmov r2,s8\n vmov r9,s14\n"
                     "vmov r8,s6\n subs r8,r0,r8\n"
                     "itt ls\n addls r2,r2,r9,lsl #1\n bls 2b\n"
                     "cmp r8,#2\n"
                     "ittt eq\n subeq r0,r0,#2\n addeq r2,r2,r9\n beq 2b\n"
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

static inline void tg_dwplane3x3s2(const tg_dwplane_cfg_t *cfg, const int8_t *x, const int32_t *w, int8_t *y)
{
    const int32_t top = cfg->pad_top;
    const int32_t end = (2 * (cfg->out_h - 1)) + 2 - top; /* the row that ends the last outputs */
    const int32_t single = (cfg->out_w == 1U) ? 1 : 0;
    tg_run_t run = {
        x,
        w,
        y,
        cfg->channels,
        cfg->plane_stride,
        cfg->out_chan,
        cfg->row_stride,
        cfg->out_row,
        (single != 0) ? cfg->out_row : cfg->out_col,
        (single != 0) ? 0 : cfg->out_col,
        cfg->out_col,
        (single != 0) ? 0 : (2 * (cfg->out_w - 2)),
        end * cfg->row_stride,
        top,
        (end >= cfg->in_h) ? 1 : 0,
        (int32_t)(cfg->out_h % 2U),
    };
    tg_dwplane3x3s2_run(&run);
}

#else

static inline void tg_dwplane3x3s2(const tg_dwplane_cfg_t *cfg, const int8_t *x, const int32_t *w, int8_t *y)
{
    tg_dwplane3x3_plain(cfg, 2, x, w, y);
}

#endif

TG_SHARED void tg_dwplane3x3s2_dsp(const tg_dwplane_cfg_t *cfg, const int8_t *x, const int32_t *w, int8_t *y)
{
    tg_dwplane3x3s2(cfg, x, w, y);
    tg_dwplane_clamp(cfg, y);
}
