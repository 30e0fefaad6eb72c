/* A timer interrupt every few hundred instructions that overwrites what is below SP, and the registers of the FPU: what
 * a kernel keeps there is lost. `interrupts_start` also switches the FPU on; `interrupts_seen` counts. */
#include <stdint.h>

volatile uint32_t interrupts_seen;
void interrupts_start(uint32_t period);

enum { BELOW = 128 };
static int own_stack; /* the program's stack is not the handlers' */

static void fill(volatile uint32_t *words)
{
    for (int i = 0; i < BELOW; ++i) {
        words[i] = 0xDEADBEEFU;
    }
}

/* On the handlers' stack, which may be the program's. */
static void __attribute__((noinline)) fill_own(void)
{
    volatile uint32_t below[BELOW];
    fill(below);
}

static void overwrite(void)
{
    if (own_stack) {
        uint32_t psp;
        __asm volatile("mrs %0, psp" : "=r"(psp));
        fill((volatile uint32_t *)psp - BELOW);
    } else {
        fill_own();
    }
#if defined(__ARM_FP)
    __asm volatile("vmov s0, %0\nvmov s1, %0\nvmov s2, %0\nvmov s3, %0\nvmov s4, %0\nvmov s5, %0\nvmov s6, %0\n"
                   "vmov s7, %0\nvmov s8, %0\nvmov s9, %0\nvmov s10, %0\nvmov s11, %0\nvmov s12, %0\nvmov s13, %0\n"
                   "vmov s14, %0\nvmov s15, %0\n"
                   :
                   : "r"(0x12345678)
                   : "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "s12", "s13", "s14",
                     "s15");
#endif
}

static void tick(void)
{
    ++interrupts_seen;
    overwrite();
}

static uint32_t vectors_in_ram[16] __attribute__((aligned(128)));

/** A tick every `period` cycles of the timer; none when 0. */
void interrupts_start(uint32_t period)
{
    volatile uint32_t *const vtor = (volatile uint32_t *)0xE000ED08U;
    volatile uint32_t *const cpacr = (volatile uint32_t *)0xE000ED88U;
    volatile uint32_t *const systick = (volatile uint32_t *)0xE000E010U;
    const volatile uint32_t *const vectors = (const volatile uint32_t *)*vtor;
    uint32_t control;
    __asm volatile("mrs %0, control" : "=r"(control));
    own_stack = (control & 2U) != 0U;
    *cpacr |= 0xFU << 20;
    __asm volatile("dsb\nisb" ::: "memory");
    for (int i = 0; i < 15; ++i) {
        vectors_in_ram[i] = (uint32_t)vectors[i];
    }
    vectors_in_ram[15] = (uint32_t)tick;
    *vtor = (uint32_t)vectors_in_ram;
    if (period != 0U) {
        systick[1] = period;
        systick[2] = 0U;
        systick[0] = 7U;
    }
}
