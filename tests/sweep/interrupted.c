/* main() between ticks of tests/c/target/interrupts.c, as often as the file period.bin says (in cycles of the timer; 0:
 * never). Linked with --wrap=main. */
#include "tg_target.h"

extern volatile uint32_t interrupts_seen;
void interrupts_start(uint32_t period);
int __real_main(void);
int __wrap_main(void);

int __wrap_main(void)
{
    uint32_t period = 0U;
    const int32_t file = tg_open("period.bin", TG_OPEN_READ);
    if ((file < 0) || (tg_read(file, &period, sizeof period) != sizeof period)) {
        tg_puts("file period.bin\n");
        return 4;
    }
    tg_close(file);
    interrupts_start(period);
    const int status = __real_main();
    tg_puts("interrupts ");
    tg_put_u32(interrupts_seen);
    tg_puts("\n");
    return status;
}
