/* SPDX-License-Identifier: Apache-2.0 */
/* Sums that do not depend on the order: any order of additions and merges, from any number of workers or shards, gives
 * the same bits. No pivot is needed.
 *
 * A value is cut into digits of 32 bits at fixed places, and each digit is added up in an integer of its own. All values
 * of an array share one window of `digits` places, from the place of the largest magnitude that ever came: digits below
 * the window are dropped, whenever they come, so what is kept does not depend on when the window moved. Error: below
 * 2^-32 (digits - 1) of the largest magnitude, for each addition. At most 2^31 additions. */
#ifndef STAT_EXACT_SUMS_H
#define STAT_EXACT_SUMS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define EXACT_SUMS_DIGITS 3 /* most */
#define EXACT_SUMS_LOWEST (-28) /* the window never lies lower; places are powers of 2^32 */
#define EXACT_SUMS_HIGHEST 31

/* n sums. Plain data for a score file. Zeroed: none. */
struct exact_sums {
	int64_t n;
	int digits;     /* 1 .. EXACT_SUMS_DIGITS */
	int top;        /* place of digit 0: sum i is sum_k digit[k n + i] 2^(32 (top - k)) */
	int64_t *digit; /* digits x n */
	unsigned char *broken; /* n: 1 where a value was not finite */
};

/* Zero sums. TAMIS_E_USAGE, TAMIS_E_MEMORY. */
enum tamis_status exact_sums_create(struct exact_sums *s, int64_t n, int digits, struct tamis_error *err);
void exact_sums_add(struct exact_sums *s, const double *x);       /* n values. O(n) */
void exact_sums_add_floats(struct exact_sums *s, const float *x); /* n values. O(n) */
/* into += from. TAMIS_E_INVALID when n or digits differ, or a digit overflows (then `into` is of no use). O(n). */
enum tamis_status exact_sums_merge(struct exact_sums *into, const struct exact_sums *from, struct tamis_error *err);
/* Sum i, rounded once for each digit; NaN after a value that was not finite. */
double exact_sums_value(const struct exact_sums *s, int64_t i);
void exact_sums_free(struct exact_sums *s); /* leaves it zeroed */

#endif
