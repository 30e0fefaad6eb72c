/* The least that runs a test on an emulated Cortex-M: main's value is the exit status of QEMU. */
#include <stdint.h>

extern uint32_t stack_top, data_load, data_start, data_end, bss_start, bss_end;
int main(void);
void Reset_Handler(void);
void Fault_Handler(void);

static void stop(uint32_t status)
{
    uint32_t argument[2] = {0x20026U, status}; /* ADP_Stopped_ApplicationExit */
    register uint32_t r0 __asm("r0") = 0x20U;  /* SYS_EXIT_EXTENDED */
    register void *r1 __asm("r1") = argument;
    __asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    for (;;) {
    }
}

void Reset_Handler(void)
{
    const uint32_t *from = &data_load;
    for (uint32_t *to = &data_start; to < &data_end; ++to) {
        *to = *from;
        ++from;
    }
    for (uint32_t *to = &bss_start; to < &bss_end; ++to) {
        *to = 0U;
    }
    stop((uint32_t)main());
}

void Fault_Handler(void)
{
    stop(99U);
}

__attribute__((section(".vectors"), used)) static void (*const vectors[16])(void) = {
    (void (*)(void))&stack_top, Reset_Handler, Fault_Handler, Fault_Handler,
    Fault_Handler,              Fault_Handler, Fault_Handler,
};
