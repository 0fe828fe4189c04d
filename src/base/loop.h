/* SPDX-License-Identifier: Apache-2.0 */
/* What helps a compiler make vectors of a loop. */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

/* Lets gcc vectorise the loop that follows although its arrays may be one and the same (in-place runs):
 * iteration i reads and writes index i only. clang, which warns where it cannot comply, checks for overlap
 * while running. */
#if defined(__clang__)
#define LOOP_INDEPENDENT
#else
#define LOOP_INDEPENDENT _Pragma("GCC ivdep")
#endif

/* Compiles a loop over elements for newer processors as well; the one at hand picks when the program starts. Without
 * contraction of products and sums every version gives the same bits. Sanitizers start after that choice. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
	!defined(__SANITIZE_THREAD__)
#define LOOP_VERSIONS __attribute__((target_clones("avx2", "default")))
/* The same for AVX-512 too: for loops over vectors of 64 bytes, and those that compute more than they load. For all others it
 * gains nothing. */
#define LOOP_VERSIONS_WIDE __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define LOOP_VERSIONS
#define LOOP_VERSIONS_WIDE
#endif

#endif
