/**
 * @file  tg_target.h
 * @brief What a program of tinygen can do anywhere: print, exit, read and write files, measure its stack.
 *
 * On a bare core all but the stack functions is semihosting: a debugger or QEMU does the work on its own computer.
 * With neither attached, writes vanish, tg_open fails, and tg_exit sleeps for ever: nothing hangs or faults.
 * On an ordinary computer tg_host.c does the same with the C library.
 */
#ifndef TG_TARGET_H_INCLUDED
#define TG_TARGET_H_INCLUDED
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

#define TG_OPEN_READ 1U   /* existing file, binary       */
#define TG_OPEN_WRITE 5U  /* new or emptied file, binary */
#define TG_OPEN_APPEND 9U /* new or grown file, binary   */

/** Print a string that ends in NUL. */
void tg_puts(const char *text);
/** Print a number in decimal. */
void tg_put_u32(uint32_t value);
/** End the program; QEMU returns `code` (0..255) as its own exit status. */
void tg_exit(int code) __attribute__((noreturn));

/** Open a file by its path on the host; a handle, or -1. */
int32_t tg_open(const char *path, uint32_t mode);
/** Read up to `len` bytes; how many came (fewer: end of file). */
uint32_t tg_read(int32_t handle, void *data, uint32_t len);
/** Write `len` bytes; how many were written. */
uint32_t tg_write(int32_t handle, const void *data, uint32_t len);
void tg_close(int32_t handle);

/** Paint the free stack and start measuring from the caller's stack pointer. */
void tg_stack_paint_reset(void);
/** Bytes of stack used, at the deepest, below the caller of tg_stack_paint_reset; since start-up without it. */
uint32_t tg_stack_used(void);

#ifdef __cplusplus
}
#endif
#endif
