/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic on sizes from files: each returns true when the result fits, and stores it only then. */
#ifndef BASE_CHECKED_H
#define BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define tm_add(a, b, out) (!__builtin_add_overflow((a), (b), (out)))
#define tm_sub(a, b, out) (!__builtin_sub_overflow((a), (b), (out)))
#define tm_mul(a, b, out) (!__builtin_mul_overflow((a), (b), (out)))

/* Product of n dimensions. False when one is negative or the product exceeds INT64_MAX; the empty product is 1.
 * A zero anywhere gives 0 even where the others would overflow ({0, 2^63-1} has no elements). O(n). */
bool tm_product(const int64_t *dims, int n, int64_t *out);

#endif
