/**
 * @file  startup.c
 * @brief Start-up, fault report and semihosting for a RISC-V with 32 bits, in machine mode.
 *
 * The code is made read-only by the memory protection, so that a stack that overflows faults there. Faults have a stack
 * of their own, so that there is still one to report from.
 */
#include "tg_target.h"

#define EXIT_FAULT 70
#define EXIT_STACK_OVERFLOW 71
#define PMP_LOCKED_READ_EXECUTE 0x9DU /* a region of a power of two */

/* From the linker script. */
extern uint32_t tg_stack_limit, tg_stack_top;
extern uint32_t tg_data_load, tg_data_start, tg_data_end, tg_bss_start, tg_bss_end;
extern uint32_t tg_flash_start, tg_flash_size;

int main(void);
int32_t tg_semihost(uint32_t operation, const void *argument);
void tg_reset(void);
void tg_trap(void);
void tg_boot(void);
void tg_fault(uint32_t sp);

/* 1 KiB: from the middle down for a fault within a fault, from the end down for faults. */
__attribute__((used)) static uint64_t handler_stack[128];
__attribute__((used)) static const uint32_t *stack_mark = &tg_stack_top;

/* ---- semihosting ---- */

/* A debugger knows the call by these three instructions of four bytes each, which lie in one page. */
__asm(".section .text.tg_semihost, \"ax\"\n"
      ".balign 16\n"
      ".option push\n"
      ".option norvc\n"
      ".global tg_semihost, tg_semihost_break\n"
      "tg_semihost: slli x0, x0, 0x1f\n"
      "tg_semihost_break: ebreak\n"
      "srai x0, x0, 7\n"
      "ret\n"
      ".option pop\n"
      ".text\n");

void tg_puts(const char *text)
{
    (void)tg_semihost(0x04U, text); /* SYS_WRITE0 */
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
    (void)tg_semihost(0x20U, argument);                      /* SYS_EXIT_EXTENDED */
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
    return tg_semihost(0x01U, argument); /* SYS_OPEN */
}

uint32_t tg_read(int32_t handle, void *data, uint32_t len)
{
    const uint32_t argument[3] = {(uint32_t)handle, (uint32_t)data, len};
    const uint32_t missing = (uint32_t)tg_semihost(0x06U, argument); /* SYS_READ: bytes not read, or -1 */
    return (missing <= len) ? (len - missing) : 0U;
}

uint32_t tg_write(int32_t handle, const void *data, uint32_t len)
{
    const uint32_t argument[3] = {(uint32_t)handle, (uint32_t)data, len};
    const uint32_t missing = (uint32_t)tg_semihost(0x05U, argument); /* SYS_WRITE: bytes not written, or -1 */
    return (missing <= len) ? (len - missing) : 0U;
}

void tg_close(int32_t handle)
{
    const uint32_t argument[1] = {(uint32_t)handle};
    (void)tg_semihost(0x02U, argument); /* SYS_CLOSE */
}

/* ---- stack ---- */

/* In assembly so that it uses no stack: the mark is the caller's own stack pointer, and no word below it is left out. */
__attribute__((naked)) void tg_stack_paint_reset(void)
{
    __asm volatile("la t0, stack_mark\n"
                   "sw sp, 0(t0)\n"
                   "la t0, tg_stack_limit\n"
                   "li t1, 0xA5A5A5A5\n"
                   "j 2f\n"
                   "1: sw t1, 0(t0)\n"
                   "addi t0, t0, 4\n"
                   "2: bltu t0, sp, 1b\n"
                   "ret\n");
}

uint32_t tg_stack_used(void)
{
    const uint32_t *p = &tg_stack_limit;
    while ((p < stack_mark) && (*p == 0xA5A5A5A5U)) {
        p++;
    }
    return (uint32_t)stack_mark - (uint32_t)p;
}

/* ---- faults ---- */

/* `sp` is the program's: at or below the limit, or what it reached from there was. */
__attribute__((used)) void tg_fault(uint32_t sp)
{
    const uint32_t limit = (uint32_t)&tg_stack_limit;
    uint32_t address;
    __asm volatile("csrr %0, mtval" : "=r"(address));
    const int overflow = (sp <= limit) || ((address < limit) && (address >= (limit - 4096U)));

    tg_puts(overflow ? "STACK OVERFLOW\n" : "FAULT\n");
    tg_exit(overflow ? EXIT_STACK_OVERFLOW : EXIT_FAULT);
}

/* A semihosting call that nobody answers fails, and the program goes on; all else ends it. */
__attribute__((naked, aligned(4))) void tg_trap(void)
{
    __asm volatile("csrrw sp, mscratch, sp\n"
                   "addi sp, sp, -16\n"
                   "sw t0, 0(sp)\n"
                   "sw t1, 4(sp)\n"
                   "csrr t0, mepc\n"
                   "la t1, tg_semihost_break\n"
                   "bne t0, t1, 1f\n"
                   "addi t0, t0, 4\n"
                   "csrw mepc, t0\n"
                   "li a0, -1\n"
                   "lw t0, 0(sp)\n"
                   "lw t1, 4(sp)\n"
                   "addi sp, sp, 16\n"
                   "csrrw sp, mscratch, sp\n"
                   "mret\n"
                   "1: csrr a0, mscratch\n"
                   "la t0, handler_stack + 512\n"
                   "csrw mscratch, t0\n"
                   "j tg_fault\n");
}

/* ---- start ---- */

__attribute__((used, noreturn)) void tg_boot(void)
{
    const uint32_t region = ((uint32_t)&tg_flash_start >> 2) | (((uint32_t)&tg_flash_size >> 3) - 1U);
    const uint32_t *from = &tg_data_load;
    for (uint32_t *to = &tg_data_start; to < &tg_data_end; to++) {
        *to = *from;
        from++;
    }
    for (uint32_t *to = &tg_bss_start; to < &tg_bss_end; to++) {
        *to = 0U;
    }
    __asm volatile("csrw pmpaddr0, %0\n csrw pmpcfg0, %1" : : "r"(region), "r"(PMP_LOCKED_READ_EXECUTE));
    tg_exit(main());
}

/* Paints the whole stack before any of it is used. */
__attribute__((naked, section(".vectors"), used)) void tg_reset(void)
{
    __asm volatile(".option push\n"
                   ".option norelax\n"
                   "la gp, __global_pointer$\n"
                   ".option pop\n"
                   "la sp, tg_stack_top\n"
                   "la t0, tg_stack_limit\n"
                   "li t1, 0xA5A5A5A5\n"
                   "1: sw t1, 0(t0)\n"
                   "addi t0, t0, 4\n"
                   "bltu t0, sp, 1b\n"
                   "la t0, handler_stack + 1024\n"
                   "csrw mscratch, t0\n"
                   "la t0, tg_trap\n"
                   "csrw mtvec, t0\n"
                   "j tg_boot\n");
}
