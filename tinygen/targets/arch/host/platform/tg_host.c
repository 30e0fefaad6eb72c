/**
 * @file  tg_host.c
 * @brief tg_target.h on an ordinary computer, so that programs are the same on both. The stack is not measured: 0.
 */
#include "tg_target.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_FILES 8

static FILE *files[MAX_FILES];

void tg_puts(const char *text)
{
    (void)fputs(text, stdout);
}

void tg_put_u32(uint32_t value)
{
    (void)printf("%lu", (unsigned long)value);
}

void tg_exit(int code)
{
    exit(code);
}

int32_t tg_open(const char *path, uint32_t mode)
{
    const char *const text = (mode == TG_OPEN_READ) ? "rb" : ((mode == TG_OPEN_WRITE) ? "wb" : "ab");
    for (int32_t handle = 0; handle < MAX_FILES; handle++) {
        if (files[handle] == NULL) {
            files[handle] = fopen(path, text);
            return (files[handle] != NULL) ? handle : -1;
        }
    }
    return -1;
}

uint32_t tg_read(int32_t handle, void *data, uint32_t len)
{
    return (uint32_t)fread(data, 1U, len, files[handle]);
}

uint32_t tg_write(int32_t handle, const void *data, uint32_t len)
{
    return (uint32_t)fwrite(data, 1U, len, files[handle]);
}

void tg_close(int32_t handle)
{
    (void)fclose(files[handle]);
    files[handle] = NULL;
}

void tg_stack_paint_reset(void) {}

uint32_t tg_stack_used(void)
{
    return 0U;
}
