/* One access to an address that is one byte behind a word: which, says the file op.bin (test_unaligned.py has the
 * names). 5: there is no such instruction here. */
#include "tg_target.h"

static uint32_t words[8] __attribute__((aligned(16)));

int main(void)
{
    uint8_t op = 0U;
    const int32_t file = tg_open("op.bin", TG_OPEN_READ);
    if ((file < 0) || (tg_read(file, &op, 1U) != 1U)) {
        return 4;
    }
    tg_close(file);
    uint32_t at = (uint32_t)words + 1U;
    switch (op) {
    case 0: /* as aligned as can be: nothing faults */
        at -= 1U;
        __asm volatile("ldmia %0!, {r1, r2}" : "+l"(at) : : "r1", "r2", "memory");
        return 0;
    case 1:
        __asm volatile("ldr r1, [%0]" : : "l"(at) : "r1", "memory");
        return 0;
    case 2:
        __asm volatile("ldrh r1, [%0]" : : "l"(at) : "r1", "memory");
        return 0;
    case 3:
        __asm volatile("str %0, [%0]" : : "l"(at) : "memory");
        return 0;
    case 4:
        __asm volatile("ldmia %0!, {r1, r2}" : "+l"(at) : : "r1", "r2", "memory");
        return 0;
    case 5:
        __asm volatile("stmia %0!, {r1, r2}" : "+l"(at) : : "memory");
        return 0;
#if !defined(__ARM_ARCH_6M__)
    case 6:
        __asm volatile("ldrd r2, r3, [%0]" : : "l"(at) : "r2", "r3", "memory");
        return 0;
    case 7:
        __asm volatile("strd r2, r3, [%0]" : : "l"(at) : "memory");
        return 0;
#endif
#if defined(__ARM_FP)
    case 8:
        __asm volatile("vldr s0, [%0]" : : "l"(at) : "s0", "memory");
        return 0;
    case 9:
        __asm volatile("vldmia %0, {s0-s3}" : : "l"(at) : "s0", "s1", "s2", "s3", "memory");
        return 0;
    case 10:
        __asm volatile("vstmia %0, {s0-s3}" : : "l"(at) : "memory");
        return 0;
#endif
#if defined(__ARM_FEATURE_MVE)
    case 11:
        __asm volatile("vldrw.u32 q0, [%0]" : : "l"(at) : "q0", "memory");
        return 0;
    case 12:
        __asm volatile("vldrh.s32 q0, [%0]" : : "l"(at) : "q0", "memory");
        return 0;
    case 13:
        __asm volatile("vstrw.32 q0, [%0]" : : "l"(at) : "memory");
        return 0;
    case 14: /* bytes have no alignment */
        __asm volatile("vldrb.s16 q0, [%0]" : : "l"(at) : "q0", "memory");
        return 0;
#endif
    default:
        return 5;
    }
}
