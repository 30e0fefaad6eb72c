/**
 * @file  counter.c
 * @brief A plug-in for QEMU (TCG plug-in API 1) that counts what one call of <model>_run does, kernel by kernel.
 *
 * tinygen tells it in a file (`-plugin counter.so,table=FILE,out=FILE`) what every halfword of code would cost as an
 * instruction, where the model's own code lies, and how the flash behaves; so nothing here knows an instruction set.
 * The program needs no marks: counting begins when <model>_run is entered and ends when it returns, and each return
 * from a kernel into the model's own code closes a span. A block of instructions is counted when it is entered; where
 * the emulator cuts one block into two, the second begins as if it were the first one's end.
 *
 * FILE, little-endian: MAGIC; the fields of `Setup`; `owns` ranges [from, to) of the model's own code; and `codes`
 * times a range of code followed by an `Entry` for each of its halfwords.
 *
 * The flash model: the core fetches lines of `width` bytes; one that is neither in the instruction cache nor read ahead
 * stops it for `waits` cycles. With `prefetch` the line behind the last one read is read meanwhile. Caches keep sectors
 * of `sector` bytes, filled line by line, in `ways` (0: anywhere) by least recent use. Data in flash comes through the
 * data cache, or through the same one when `shared`. With `ram_waits` the data cache holds RAM too: a store allocates a
 * line and waits for nothing. Fetches and data do not compete, and a read ahead is never undone.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC 0x34504754U /* "TGP4" */
#define EXPORT __attribute__((visibility("default")))

/* ---- the part of QEMU's interface that is used ---- */

typedef uint64_t qemu_plugin_id_t;
typedef uint32_t qemu_plugin_meminfo_t;
typedef struct qemu_info qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { CALLBACK_READS_NO_REGISTERS = 0, LOADS_AND_STORES = 3 };
typedef void (*translate_cb)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*execute_cb)(unsigned int, void *);
typedef void (*memory_cb)(unsigned int, qemu_plugin_meminfo_t, uint64_t, void *);
typedef void (*exit_cb)(qemu_plugin_id_t, void *);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, translate_cb);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, execute_cb, int, void *);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *, memory_cb, int, int, void *);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, exit_cb, void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t);
unsigned int qemu_plugin_mem_size_shift(qemu_plugin_meminfo_t);
EXPORT int qemu_plugin_version = 1;
EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv);

/* ---- what tinygen says ---- */

typedef struct {
    uint32_t entry; /* of <model>_run */
    uint32_t stack_low, stack_high;
    uint32_t flash_low, flash_high;
    uint32_t width; /* 0: no flash model */
    uint32_t waits, prefetch, sector, ways, shared;
    uint32_t code_bytes, data_bytes; /* of the two caches; 0: none */
    uint32_t data_waits;             /* cycles that data from flash costs when it is in no cache */
    uint32_t data_ways;              /* as `ways`, of the data cache */
    uint32_t ram_waits; /* cycles of a read of RAM that is not in the data cache; 0: RAM never waits, no cache has it */
    uint32_t carries;                /* 0: a block forgets what the one before it ended with */
    uint32_t owns, codes;
} Setup;

enum { MEMORY = 1, PIPELINED = 2, BRANCH = 4 };

/** What the instruction at a halfword would cost. */
typedef struct {
    uint8_t flags, cycles, taken, loads, stores, size, unused[2];
} Entry;

typedef struct {
    uint32_t low, high;
} Range;

typedef struct {
    Range range;
    Entry *entries;
} Code;

static Setup setup;
static Range *owns;
static Code *codes;

static bool within(Range r, uint64_t address)
{
    return (address >= r.low) && (address < r.high);
}

static void stop(const char *why, const char *what)
{
    fprintf(stderr, "counter: %s%s\n", why, what);
    exit(1);
}

static void *get(size_t count, size_t size)
{
    void *memory = calloc(count + 1U, size);
    if (memory == NULL) {
        stop("out of memory", "");
    }
    return memory;
}

/** What tinygen says of the instruction at an address; NULL when it is in no code it knows. */
static const Entry *entry_at(uint64_t address)
{
    const Entry *found = NULL;
    for (uint32_t i = 0U; i < setup.codes; i++) {
        if (within(codes[i].range, address)) {
            found = &codes[i].entries[(address - codes[i].range.low) / 2U];
        }
    }
    return found;
}

/* ---- flash ---- */

typedef struct {
    uint64_t tag, used;
    uint32_t valid; /* a bit for each line of the sector */
} Sector;

typedef struct {
    Sector *sectors;
    uint32_t count, ways;
} Cache;

static Cache code_cache, data_cache;
static uint64_t now;             /* cycles since the start of counting, stalls included */
static uint64_t uses;            /* orders the uses of sectors */
static uint64_t last_line;       /* the line in the core's fetch buffer */
static uint64_t ahead, ahead_at; /* the line that was read ahead, and when that began */
static uint64_t code_stalls, data_stalls;

static Cache make_cache(uint32_t bytes, uint32_t ways)
{
    Cache c = {NULL, 0U, 0U};
    if (bytes != 0U) {
        c.count = bytes / setup.sector;
        c.ways = (ways == 0U) ? c.count : ways;
        c.sectors = get(c.count, sizeof *c.sectors);
    }
    return c;
}

/** Whether the cache holds the line; when not, it does from now on if `fill`. */
static bool look_up(Cache *c, uint64_t line, bool fill)
{
    const uint64_t tag = line / setup.sector;
    const uint32_t bit = 1U << ((line % setup.sector) / setup.width);
    if (c->count == 0U) {
        return false;
    }
    Sector *set = &c->sectors[(tag % (c->count / c->ways)) * c->ways];
    Sector *oldest = set;
    for (uint32_t i = 0U; i < c->ways; i++) {
        Sector *s = &set[i];
        if ((s->valid != 0U) && (s->tag == tag)) {
            const bool hit = (s->valid & bit) != 0U;
            if (hit || fill) {
                s->used = ++uses;
                s->valid |= bit;
            }
            return hit;
        }
        oldest = (s->used < oldest->used) ? s : oldest;
    }
    if (fill) {
        *oldest = (Sector){tag, ++uses, bit};
    }
    return false;
}

static void read_ahead(uint64_t line)
{
    if ((setup.prefetch != 0U) && (line != ahead) && !look_up(&code_cache, line, false)) {
        ahead = line;
        ahead_at = now;
    }
}

static void fetch(uint64_t line)
{
    if (line == last_line) {
        return;
    }
    last_line = line;
    if (!look_up(&code_cache, line, true)) {
        uint64_t stall = setup.waits;
        if (line == ahead) {
            const uint64_t ready = ahead_at + setup.waits + 1U;
            stall = (ready > now) ? (ready - now) : 0U;
        }
        now += stall;
        code_stalls += stall;
    }
    read_ahead(line + setup.width);
}

static void access_data(uint64_t address, uint32_t waits)
{
    Cache *c = (setup.shared != 0U) ? &code_cache : &data_cache;
    if (!look_up(c, address / setup.width * setup.width, true)) {
        now += waits;
        data_stalls += waits;
    }
}

/* ---- counting ---- */

typedef struct {
    uint32_t line;
    uint32_t cycles; /* of the block's instructions before this line is needed */
} Fetch;

typedef struct {
    uint64_t address, next; /* of the block, and of what follows it in memory */
    uint32_t instructions, cycles, loads, stores, taken;
    bool branches, own;
    bool pipelined;    /* its first load takes a cycle less behind a load or store, */
    bool after_memory; /* such as this block ends with */
    uint32_t fetches;
    Fetch *fetch;
} Block;

/** What was counted between two returns of kernels. */
typedef struct {
    uint64_t instructions, cycles, loads, stores, loaded, stored, taken, code_stalls, data_stalls, deepest;
} Span;

static Span span;
static const Block *last;
static bool counting, outside, finished;
static uint64_t return_to;
static FILE *out;

static void close_span(void)
{
    fprintf(out,
            "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
            " %" PRIu64 "\n",
            span.instructions, span.cycles, span.loads, span.stores, span.loaded, span.stored, span.taken, code_stalls,
            data_stalls, span.deepest);
    memset(&span, 0, sizeof span);
    span.deepest = setup.stack_high;
    code_stalls = 0U;
    data_stalls = 0U;
}

static void count_branch(const Block *next)
{
    if ((last != NULL) && last->branches && (next->address != last->next)) {
        span.cycles += last->taken;
        span.taken++;
        now += last->taken;
    }
}

static void on_block(unsigned int cpu, void *argument)
{
    const Block *b = argument;
    (void)cpu;
    if (!counting) {
        if ((b->address == setup.entry) && (last != NULL) && !finished) {
            counting = true;
            return_to = last->next;
            last = NULL;
        } else {
            last = b;
            return;
        }
    }
    count_branch(b);
    if (b->own && outside) {
        close_span();
    }
    outside = !b->own;
    if (b->address == return_to) {
        close_span();
        counting = false;
        finished = true;
        fclose(out);
        return;
    }
    span.instructions += b->instructions;
    span.cycles += b->cycles;
    if ((setup.carries != 0U) && (last != NULL) && last->after_memory && b->pipelined && (b->address == last->next)) {
        span.cycles--;
        now--;
    }
    span.loads += b->loads;
    span.stores += b->stores;
    if (setup.width != 0U) {
        uint32_t done = 0U;
        for (uint32_t i = 0U; i < b->fetches; i++) {
            now += b->fetch[i].cycles - done;
            done = b->fetch[i].cycles;
            fetch(b->fetch[i].line);
        }
        now += b->cycles - done;
    }
    last = b;
}

static void on_memory(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t address, void *unused)
{
    (void)cpu;
    (void)unused;
    if (!counting) {
        return;
    }
    const uint64_t bytes = 1ULL << qemu_plugin_mem_size_shift(info);
    if (qemu_plugin_mem_is_store(info)) {
        span.stored += bytes;
        if ((address >= setup.stack_low) && (address < span.deepest)) {
            span.deepest = address;
        }
        if (setup.ram_waits != 0U) {
            access_data(address, 0U);
        }
    } else {
        span.loaded += bytes;
        if ((setup.width != 0U) && (address >= setup.flash_low) && (address < setup.flash_high)) {
            access_data(address, setup.data_waits);
        } else if (setup.ram_waits != 0U) {
            access_data(address, setup.ram_waits);
        }
    }
}

/** Lines of flash that an instruction lies in, those aside that the one before it needed too. */
static void add_fetches(Block *b, uint64_t address, uint64_t end)
{
    for (uint64_t line = address / setup.width * setup.width; line < end; line += setup.width) {
        if ((b->fetches == 0U) || (b->fetch[b->fetches - 1U].line != line)) {
            b->fetch[b->fetches] = (Fetch){(uint32_t)line, b->cycles};
            b->fetches++;
        }
    }
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    const size_t n = qemu_plugin_tb_n_insns(tb);
    Block *b = get(1U, sizeof *b);
    bool after_memory = false;
    (void)id;
    b->fetch = get(2U * n, sizeof *b->fetch);
    b->instructions = (uint32_t)n;
    for (size_t i = 0U; i < n; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        const uint64_t address = qemu_plugin_insn_vaddr(insn);
        const Entry *e = entry_at(address);
        /* QEMU 7 says two bytes more for an instruction in front of one that crosses into another page */
        const uint64_t end = address + ((e != NULL) ? e->size : qemu_plugin_insn_size(insn));
        b->address = (i == 0U) ? address : b->address;
        b->next = end;
        if (e != NULL) {
            if ((setup.width != 0U) && (address >= setup.flash_low) && (address < setup.flash_high)) {
                add_fetches(b, address, end);
            }
            b->cycles += (uint32_t)e->cycles - ((after_memory && ((e->flags & PIPELINED) != 0U)) ? 1U : 0U);
            b->loads += e->loads;
            b->stores += e->stores;
            b->branches = (e->flags & BRANCH) != 0U;
            b->taken = e->taken;
            after_memory = (e->flags & MEMORY) != 0U;
            b->pipelined = (i == 0U) ? ((e->flags & PIPELINED) != 0U) : b->pipelined;
        }
        qemu_plugin_register_vcpu_mem_cb(insn, on_memory, CALLBACK_READS_NO_REGISTERS, LOADS_AND_STORES, NULL);
    }
    b->after_memory = after_memory;
    for (uint32_t i = 0U; i < setup.owns; i++) {
        b->own = b->own || within(owns[i], b->address);
    }
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, CALLBACK_READS_NO_REGISTERS, b);
}

/* ---- start ---- */

static void read_or_stop(FILE *file, void *data, size_t size)
{
    if (fread(data, 1U, size, file) != size) {
        stop("the table ends early", "");
    }
}

static void read_table(const char *path)
{
    uint32_t magic = 0U;
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        stop("cannot read ", path);
    }
    read_or_stop(file, &magic, sizeof magic);
    if (magic != MAGIC) {
        stop("not a table of this version: ", path);
    }
    read_or_stop(file, &setup, sizeof setup);
    owns = get(setup.owns, sizeof *owns);
    read_or_stop(file, owns, setup.owns * sizeof *owns);
    codes = get(setup.codes, sizeof *codes);
    for (uint32_t i = 0U; i < setup.codes; i++) {
        Code *c = &codes[i];
        read_or_stop(file, &c->range, sizeof c->range);
        const size_t n = (c->range.high - c->range.low) / 2U;
        c->entries = get(n, sizeof *c->entries);
        read_or_stop(file, c->entries, n * sizeof *c->entries);
    }
    fclose(file);
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    const char *table = "";
    const char *out_path = "";
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "table=", 6U) == 0) {
            table = argv[i] + 6;
        } else if (strncmp(argv[i], "out=", 4U) == 0) {
            out_path = argv[i] + 4;
        }
    }
    read_table(table);
    out = fopen(out_path, "w");
    if (out == NULL) {
        stop("cannot write ", out_path);
    }
    span.deepest = setup.stack_high;
    last_line = UINT64_MAX;
    ahead = UINT64_MAX;
    if (setup.width != 0U) {
        code_cache = make_cache(setup.code_bytes, setup.ways);
        data_cache = make_cache(setup.data_bytes, setup.data_ways);
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    return 0;
}
