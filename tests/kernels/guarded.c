/* How the harness calls a kernel: once with everything guarded that it must leave alone, then again and again through
 * one loop whose own cycles are known. */
#include "guarded.h"

#define PAINTED "8192" /* bytes */
#define PAINT 0x5A5A5A5AU

/* The stack below is painted. r4 to r11 and s16 to s31 hold what nobody else does, and come back as they were. Gives 0, or the first that did not:
 * 4 to 11, 16 to 31, 32 for the stack pointer. */
static int __attribute__((naked, noinline)) call(const call_t *c __attribute__((unused)))
{
    __asm__ volatile(".syntax unified\n"
                     "push {r4-r11, lr}\n"
                     "vpush {s16-s31}\n"
                     "sub sp, sp, #4\n"
                     "ldr r1, =kept\n"
                     "str sp, [r1]\n"
                     "mov r12, r0\n"
                     "sub r1, sp, #" PAINTED "\n"
                     "mov r2, #0x5A5A5A5A\n"
                     "2: str r2, [r1], #4\n"
                     "cmp r1, sp\n"
                     "bne 2b\n"
                     ".irp n, 4, 5, 6, 7, 8, 9, 10, 11\n"
                     "mov r\\n, #(0xA0 + \\n)\n"
                     ".endr\n"
                     ".irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31\n"
                     "mov r0, #(0xB0 + \\n)\n"
                     "vmov s\\n, r0\n"
                     ".endr\n"
                     "ldr r0, [r12, #20]\n"
                     "str r0, [sp]\n"
                     "ldm r12, {r0-r3, r12}\n"
                     "blx r12\n"
                     "ldr r1, =result\n"
                     "str r0, [r1]\n"
                     "ldr r1, =kept\n"
                     "ldr r1, [r1]\n"
                     "movs r0, #32\n"
                     "cmp r1, sp\n"
                     "bne 1f\n"
                     ".irp n, 4, 5, 6, 7, 8, 9, 10, 11\n"
                     "movs r0, #\\n\n"
                     "cmp r\\n, #(0xA0 + \\n)\n"
                     "bne 1f\n"
                     ".endr\n"
                     ".irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31\n"
                     "movs r0, #\\n\n"
                     "vmov r1, s\\n\n"
                     "cmp r1, #(0xB0 + \\n)\n"
                     "bne 1f\n"
                     ".endr\n"
                     "movs r0, #0\n"
                     "1: ldr r1, =kept\n"
                     "ldr sp, [r1]\n"
                     "add sp, sp, #4\n"
                     "vpop {s16-s31}\n"
                     "pop {r4-r11, pc}\n"
                     ".ltorg\n");
}

/** The stack pointer behind what `call` saves, and so where the kernel's own stack begins. */
uint32_t kept;

uint32_t result;

int guarded(const call_t *c, uint32_t *stack)
{
    const int found = call(c);
    const volatile uint32_t *deepest = (const volatile uint32_t *)(kept - 8192U);
    while ((deepest < (const volatile uint32_t *)kept) && (*deepest == PAINT)) {
        ++deepest;
    }
    *stack = kept - (uint32_t)deepest;
    return found;
}

/** Calls one after the other: every return into this function ends a piece of what the counter counts. */
void __attribute__((naked, noinline)) all(const call_t *calls __attribute__((unused)), int n __attribute__((unused)))
{
    __asm__ volatile(".syntax unified\n"
                     "push {r4, r5, r6, lr}\n"
                     "sub sp, sp, #8\n"
                     "mov r4, r0\n"
                     "mov r5, r1\n"
                     "1: ldr r6, [r4, #20]\n"
                     "str r6, [sp]\n"
                     "ldm r4, {r0-r3, r12}\n"
                     "adds r4, r4, #24\n"
                     "blx r12\n"
                     "subs r5, r5, #1\n"
                     "bne 1b\n"
                     "add sp, sp, #8\n"
                     "pop {r4, r5, r6, pc}\n");
}

/** The least function. */
void __attribute__((naked, noinline)) nothing(void)
{
    __asm__ volatile("bx lr\n");
}
