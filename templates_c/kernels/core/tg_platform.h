/**
 * @file  tg_platform.h
 * @brief What depends on the compiler, and nothing else.
 */
#ifndef TG_PLATFORM_H_INCLUDED
#define TG_PLATFORM_H_INCLUDED

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__) || defined(__clang__) || defined(__ICCARM__)
#define TG_ALIGN(n) __attribute__((aligned(n)))
#define TG_MUST_CHECK __attribute__((warn_unused_result))
#if defined(TG_KERNEL_SECTION) /* such as ".ramfunc": kernels run from RAM where flash is slow */
#define TG_PLACED __attribute__((section(TG_KERNEL_SECTION)))
#else
#define TG_PLACED
#endif
/** A line of flash or of its cache: where the linker puts a kernel must not change how long its loops wait. */
#if defined(__ARM_FEATURE_DSP)
#define TG_LINE 32
#else
#define TG_LINE 16
#endif
/** A kernel is weak: two models that each bring the same file link into one image and share one copy. */
#define TG_SHARED TG_PLACED __attribute__((weak, aligned(TG_LINE)))
#define TG_NAKED __attribute__((naked)) /* the body is one block of assembly, with its own entry and exit */
#define TG_RESTRICT __restrict__
/** For an inner loop that needs all registers: inlined into its caller it would spill. */
#define TG_NOINLINE TG_PLACED __attribute__((noinline, unused, aligned(TG_LINE)))
/** For what must vanish into its caller even at -Os: accumulators passed by pointer stay in registers only then. */
#define TG_INLINE inline __attribute__((always_inline))
#else
#if defined(__cplusplus)
#define TG_ALIGN(n) alignas(n)
#define TG_RESTRICT
#else
#define TG_ALIGN(n) _Alignas(n)
#define TG_RESTRICT restrict
#endif
#define TG_MUST_CHECK
#define TG_SHARED
#define TG_NOINLINE
#define TG_INLINE inline
#endif

/** Compile-time check at file scope; `name` says what is expected. C99 has no other way. */
#if defined(__cplusplus)
#define TG_STATIC_ASSERT(cond, name) static_assert(cond, #name)
#elif defined(__STDC_VERSION__) && (__STDC_VERSION__ >= 201112L)
#define TG_STATIC_ASSERT(cond, name) _Static_assert(cond, #name)
#else
#define TG_STATIC_ASSERT(cond, name) typedef char tg_assert_##name[(cond) ? 1 : -1]
#endif

/** Thumb without the 32-bit encodings (Cortex-M0, M0+, M23): eight registers do all the work. */
#if defined(__ARM_ARCH_6M__) || defined(__ARM_ARCH_8M_BASE__)
#define TG_SMALL_CORE 1
#else
#define TG_SMALL_CORE 0
#endif

/** The most significant byte of a word first. Kernels that read bytes as words refuse to compile then. */
#if defined(__BYTE_ORDER__) && defined(__ORDER_BIG_ENDIAN__)
#define TG_BIG_ENDIAN (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)
#elif defined(__ICCARM__)
#define TG_BIG_ENDIAN (!__LITTLE_ENDIAN__)
#elif defined(__BIG_ENDIAN__) || defined(__BIG_ENDIAN) || defined(__ARM_BIG_ENDIAN)
#define TG_BIG_ENDIAN 1
#else
#define TG_BIG_ENDIAN 0
#endif

/* Implementation-defined in C; every supported compiler agrees. Another one must not compile at all. */
TG_STATIC_ASSERT((-1 >> 1) == -1, right_shift_of_negative_is_arithmetic);
TG_STATIC_ASSERT(sizeof(int) >= 4U, int_has_32_bits);

#endif /* TG_PLATFORM_H_INCLUDED */
