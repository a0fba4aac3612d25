/* SPDX-License-Identifier: Apache-2.0 */
/* FIRN_SIMD in front of a hot loop's function: compiled for wider vectors too, chosen at load time.
 * -ffp-contract=off holds in every clone; results may still differ between machines (libm, BLAS), never
 * between two runs on one. Sanitizers and ifunc do not mix, so sanitized builds take the plain one. */
#ifndef FIRN_BASE_SIMD_H
#define FIRN_BASE_SIMD_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__OPTIMIZE__) &&   \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
/* by instruction set, not by processor: "arch=haswell" would mean that one maker's */
#define FIRN_SIMD __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define FIRN_SIMD
#endif

/* In front of a loop whose iterations touch nothing of each other's, though an output may be an input: without
 * it a check at run time sends the loop in place to the scalar version. */
#if defined(__clang__)
#define FIRN_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define FIRN_INDEPENDENT _Pragma("GCC ivdep")
#else
#define FIRN_INDEPENDENT
#endif

/* At the head of a file whose sums of products are fused (one rounding each) where the processor can: its loops are
 * bound by arithmetic. What must cancel exactly has to be summed in one order there. */
#if defined(__clang__)
#define FIRN_FUSED _Pragma("clang fp contract(fast)")
#elif defined(__GNUC__)
#define FIRN_FUSED _Pragma("GCC optimize(\"fp-contract=fast\")")
#else
#define FIRN_FUSED
#endif

#endif
