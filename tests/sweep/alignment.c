/* A plug-in for QEMU (API 1) that ends the run when a vector load or store of Helium is not aligned to its elements: a
 * core faults there, QEMU 7.2 does not. Everything else QEMU traps by itself (test_unaligned.py). */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_UNALIGNED 86

typedef uint64_t qemu_plugin_id_t;
typedef uint32_t qemu_plugin_meminfo_t;
typedef struct qemu_info qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { CALLBACK_READS_NO_REGISTERS = 0, LOADS_AND_STORES = 3 };
typedef void (*translate_cb)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*memory_cb)(unsigned int, qemu_plugin_meminfo_t, uint64_t, void *);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, translate_cb);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *, memory_cb, int, int, void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
unsigned int qemu_plugin_mem_size_shift(qemu_plugin_meminfo_t);
__attribute__((visibility("default"))) int qemu_plugin_version = 1;
__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                                                               char **argv);

static void on_memory(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t address, void *pc)
{
    (void)cpu;
    const uint64_t size = UINT64_C(1) << qemu_plugin_mem_size_shift(info);
    if ((address % size) != 0U) {
        fprintf(stderr, "alignment: %" PRIu64 " bytes at 0x%" PRIx64 ", pc 0x%" PRIxPTR "\n", size, address,
                (uintptr_t)pc);
        fflush(stderr);
        _Exit(EXIT_UNALIGNED);
    }
}

/* VLDR, VSTR and their relatives of MVE: coprocessor space, coprocessors 14 and 15. */
static bool is_vector(const struct qemu_plugin_insn *insn)
{
    uint16_t halves[2] = {0U, 0U};
    const size_t size = qemu_plugin_insn_size(insn);
    memcpy(halves, qemu_plugin_insn_data(insn), (size < sizeof halves) ? size : sizeof halves);
    return (size == 4U) && ((halves[0] & 0xEE00U) == 0xEC00U) && ((halves[1] & 0x0E00U) == 0x0E00U);
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    for (size_t i = 0U; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        if (is_vector(insn)) {
            void *pc = (void *)(uintptr_t)qemu_plugin_insn_vaddr(insn);
            qemu_plugin_register_vcpu_mem_cb(insn, on_memory, CALLBACK_READS_NO_REGISTERS, LOADS_AND_STORES, pc);
        }
    }
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    (void)info;
    (void)argc;
    (void)argv;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    return 0;
}
