/**
 * @file  startup.c
 * @brief Start-up, fault report and semihosting for every Cortex-M, on hardware and in QEMU.
 *
 * The program runs on the process stack (PSP) at the bottom of RAM, so that an overflow runs off RAM and faults instead
 * of changing variables. Handlers have a stack of their own (MSP), so that there is still one to report it from.
 * Clocks stay as the part leaves reset: nothing here waits for hardware.
 *
 *   -DTG_TRAP_UNALIGNED  fault on every unaligned access, as a Cortex-M0 does (build with -mno-unaligned-access)
 */
#include "tg_target.h"

#if defined(__ARM_ARCH_6M__) || defined(__ARM_ARCH_8M_BASE__)
#define TG_BASELINE 1 /* no fault status registers, no configurable traps */
#else
#define TG_BASELINE 0
#endif

#define EXIT_FAULT 70
#define EXIT_STACK_OVERFLOW 71
#define HANDLER_STACK_LEN 64U /* in 8-byte units */

#define SCB_CCR (*(volatile uint32_t *)0xE000ED14U)
#define SCB_CFSR (*(volatile uint32_t *)0xE000ED28U)
#define SCB_HFSR (*(volatile uint32_t *)0xE000ED2CU)
#define SCB_BFAR (*(volatile uint32_t *)0xE000ED38U)
#define SCB_CPACR (*(volatile uint32_t *)0xE000ED88U)
#define CCR_UNALIGN_TRP (1U << 3)
#define CCR_DIV_0_TRP (1U << 4)
#define CPACR_FPU_FULL_ACCESS (0xFU << 20)
#define BKPT_SEMIHOSTING 0xBEABU

/* From the linker script. */
extern uint32_t tg_stack_limit, tg_stack_top;
extern uint32_t tg_data_load, tg_data_start, tg_data_end, tg_bss_start, tg_bss_end;
extern uint32_t tg_ramfunc_load, tg_ramfunc_start, tg_ramfunc_end;
extern uint32_t tg_text_start, tg_text_end;

int main(void);
void __libc_init_array(void);
void _init(void);
void SystemInit(void);
void Reset_Handler(void);
void Fault_Handler(void);
void tg_boot(void);
void tg_fault(uint32_t *frame);

/* Hooks: newlib calls _init; a vendor's SystemInit may set clocks. */
__attribute__((weak)) void _init(void) {}
__attribute__((weak)) void SystemInit(void) {}

static uint64_t handler_stack[HANDLER_STACK_LEN];
/* No static variable, as tg_stack_paint_reset names it in assembly: with -flto that may lie in another unit. */
extern const uint32_t *tg_stack_mark;
__attribute__((used)) const uint32_t *tg_stack_mark = &tg_stack_top;

/* ---- semihosting ---- */

static int32_t semihost(uint32_t operation, const void *argument)
{
    register uint32_t r0 __asm("r0") = operation;
    register const void *r1 __asm("r1") = argument;
    __asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return (int32_t)r0;
}

void tg_puts(const char *text)
{
    (void)semihost(0x04U, text); /* SYS_WRITE0 */
}

void tg_put_u32(uint32_t value)
{
    char text[11];
    char *p = &text[10];
    *p = '\0';
    do {
        p--;
        *p = (char)('0' + (char)(value % 10U));
        value /= 10U;
    } while (value != 0U);
    tg_puts(p);
}

void tg_exit(int code)
{
    const uint32_t argument[2] = {0x20026U, (uint32_t)code}; /* ADP_Stopped_ApplicationExit */
    (void)semihost(0x20U, argument);                         /* SYS_EXIT_EXTENDED */
    for (;;) {
        __asm volatile("wfi");
    }
}

int32_t tg_open(const char *path, uint32_t mode)
{
    uint32_t len = 0U;
    while (path[len] != '\0') {
        len++;
    }
    const uint32_t argument[3] = {(uint32_t)path, mode, len};
    return semihost(0x01U, argument); /* SYS_OPEN */
}

uint32_t tg_read(int32_t handle, void *data, uint32_t len)
{
    const uint32_t argument[3] = {(uint32_t)handle, (uint32_t)data, len};
    const uint32_t missing = (uint32_t)semihost(0x06U, argument); /* SYS_READ: bytes not read, or -1 */
    return (missing <= len) ? (len - missing) : 0U;
}

uint32_t tg_write(int32_t handle, const void *data, uint32_t len)
{
    const uint32_t argument[3] = {(uint32_t)handle, (uint32_t)data, len};
    const uint32_t missing = (uint32_t)semihost(0x05U, argument); /* SYS_WRITE: bytes not written, or -1 */
    return (missing <= len) ? (len - missing) : 0U;
}

void tg_close(int32_t handle)
{
    const uint32_t argument[1] = {(uint32_t)handle};
    (void)semihost(0x02U, argument); /* SYS_CLOSE */
}

/* ---- stack ---- */

/* In assembly so that it uses no stack: the mark is the caller's own stack pointer, and no word below it is left out.
 * `.ltorg` here and below: the constants of `ldr r1, =...` stand behind the branch. Without it they stand behind all of a
 * unit's code, which with -flto is the whole program's, out of reach. */
__attribute__((naked)) void tg_stack_paint_reset(void)
{
    __asm volatile("mov r0, sp\n"
                   "ldr r1, =tg_stack_mark\n"
                   "str r0, [r1]\n"
                   "ldr r1, =tg_stack_limit\n"
                   "ldr r2, =0xA5A5A5A5\n"
                   "b 2f\n"
                   "1: stmia r1!, {r2}\n"
                   "2: cmp r1, r0\n"
                   "blo 1b\n"
                   "bx lr\n"
                   ".ltorg\n");
}

uint32_t tg_stack_used(void)
{
    const uint32_t *p = &tg_stack_limit;
    while ((p < tg_stack_mark) && (*p == 0xA5A5A5A5U)) {
        p++;
    }
    return (uint32_t)tg_stack_mark - (uint32_t)p;
}

/* ---- faults ---- */

static void put_hex(const char *name, uint32_t value)
{
    char text[12] = "0x00000000\n";
    for (uint32_t i = 0U; i < 8U; i++) {
        text[2U + i] = "0123456789abcdef"[(value >> (28U - (4U * i))) & 15U];
    }
    tg_puts(name);
    tg_puts(text);
}

/* Runs in handler mode; `frame` is what the core pushed on the program's stack: r0-r3, r12, lr, pc, psr. */
__attribute__((used)) void tg_fault(uint32_t *frame)
{
    const int in_stack = (frame >= &tg_stack_limit) && (frame < &tg_stack_top);
    const uint32_t pc = in_stack ? frame[6] : 0U;

    if ((pc >= (uint32_t)&tg_text_start) && (pc < (uint32_t)&tg_text_end) && (*(const uint16_t *)pc == BKPT_SEMIHOSTING)) {
        /* Nobody listens to semihosting: the call fails and the program goes on. */
        frame[0] = 0xFFFFFFFFU;
        frame[6] = pc + 2U;
#if !TG_BASELINE
        SCB_HFSR = SCB_HFSR; /* write one to clear */
#endif
    } else {
        uint32_t exception;
        __asm volatile("mrs %0, ipsr" : "=r"(exception));
#if !TG_BASELINE
        SCB_CCR &= ~CCR_UNALIGN_TRP;
#endif
        put_hex(in_stack ? "FAULT exception " : "STACK OVERFLOW exception ", exception);
        put_hex("  sp   ", (uint32_t)frame);
        if (in_stack) {
            put_hex("  pc   ", pc);
            put_hex("  lr   ", frame[5]);
        }
#if !TG_BASELINE
        put_hex("  cfsr ", SCB_CFSR);
        put_hex("  bfar ", SCB_BFAR);
#endif
        tg_exit(in_stack ? EXIT_FAULT : EXIT_STACK_OVERFLOW);
    }
}

/* A tail call: lr keeps the exception's return code, so tg_fault may return to the program. */
__attribute__((naked)) void Fault_Handler(void)
{
    __asm volatile("mrs r0, psp\n"
                   "ldr r1, =tg_fault\n"
                   "bx r1\n"
                   ".ltorg\n");
}

/* ---- start ---- */

static void copy(const uint32_t *from, uint32_t *to, const uint32_t *end)
{
    while (to < end) {
        *to = *from;
        to++;
        from++;
    }
}

/* Not inlined: it may hold all of main, and its first instructions use the registers that tg_boot switches on. */
__attribute__((noinline, noreturn)) static void start(void)
{
    copy(&tg_data_load, &tg_data_start, &tg_data_end);
    copy(&tg_ramfunc_load, &tg_ramfunc_start, &tg_ramfunc_end); /* code that runs from RAM */
    __asm volatile("dsb\nisb" ::: "memory");
    for (uint32_t *to = &tg_bss_start; to < &tg_bss_end; to++) {
        *to = 0U;
    }
    SystemInit();
    __libc_init_array();
    tg_exit(main());
}

__attribute__((used, noreturn)) void tg_boot(void)
{
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
    SCB_CPACR |= CPACR_FPU_FULL_ACCESS; /* MVE shares the switch */
    __asm volatile("dsb\n isb" ::: "memory");
#endif
#if !TG_BASELINE
    SCB_CCR |= CCR_DIV_0_TRP;
#endif
#if defined(TG_TRAP_UNALIGNED) && !TG_BASELINE
    SCB_CCR |= CCR_UNALIGN_TRP;
#endif
    start();
}

/* Paints the whole stack before any of it is used, then moves thread mode on to it. */
__attribute__((naked)) void Reset_Handler(void)
{
    __asm volatile("ldr r0, =tg_stack_limit\n"
                   "ldr r1, =tg_stack_top\n"
                   "ldr r2, =0xA5A5A5A5\n"
                   "msr psp, r1\n"
                   "1: stmia r0!, {r2}\n"
                   "cmp r0, r1\n"
                   "blo 1b\n"
                   "movs r0, #2\n"
                   "msr control, r0\n"
                   "isb\n"
                   "ldr r0, =tg_boot\n"
                   "bx r0\n"
                   ".ltorg\n");
}

/* The core's own exceptions; no device interrupt is ever enabled. */
__attribute__((section(".vectors"), used)) static const struct {
    const void *handler_stack_top;
    void (*handlers[15])(void);
} vectors = {
    &handler_stack[HANDLER_STACK_LEN],
    {
        Reset_Handler,
        Fault_Handler, /* NMI */
        Fault_Handler, /* HardFault */
        Fault_Handler, /* MemManage */
        Fault_Handler, /* BusFault */
        Fault_Handler, /* UsageFault */
        Fault_Handler, /* SecureFault */
        0,
        0,
        0,
        Fault_Handler, /* SVCall */
        Fault_Handler, /* DebugMonitor */
        0,
        Fault_Handler, /* PendSV */
        Fault_Handler, /* SysTick */
    },
};
