#ifndef GUARDED_H
#define GUARDED_H

#include <stdint.h>

/** A call of a kernel with up to five arguments. */
typedef struct {
    uint32_t a[4];
    uint32_t function;
    uint32_t fifth;
} call_t;

/** What the last one of them gave in r0. */
extern uint32_t result;

/** One call; gives 0, or which register did not come back. `stack`: the deepest byte that was written. */
int guarded(const call_t *c, uint32_t *stack);

/** All of them. */
void all(const call_t *calls, int n);

void nothing(void);

#endif
