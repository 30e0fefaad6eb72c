/* What generated code calls of <string.h>, byte by byte: the C library's own functions read unaligned words. */
#include <stddef.h>
#include <string.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
    for (size_t i = 0U; i < n; i++) {
        ((unsigned char *)to)[i] = ((const unsigned char *)from)[i];
    }
    return to;
}

void *memmove(void *to, const void *from, size_t n)
{
    if (to < from) {
        return memcpy(to, from, n);
    }
    for (size_t i = n; i > 0U; i--) {
        ((unsigned char *)to)[i - 1U] = ((const unsigned char *)from)[i - 1U];
    }
    return to;
}

void *memset(void *to, int value, size_t n)
{
    for (size_t i = 0U; i < n; i++) {
        ((unsigned char *)to)[i] = (unsigned char)value;
    }
    return to;
}
