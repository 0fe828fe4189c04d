/* SPDX-License-Identifier: Apache-2.0 */
/* A hash table from names to numbers. Whole names are compared; the table's own address goes into the hash, so that a
 * file cannot be made to collide. */
#ifndef ONNX_NAMES_H
#define ONNX_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialise. Names are borrowed and must outlive the table. */
struct names {
	struct name_slot *slots;
	size_t cap, count; /* cap is a power of two, at least twice the count */
	uint64_t seed;
};

enum names_result { NAMES_NEW, NAMES_OLD, NAMES_NO_MEMORY };

/* Adds name -> value. NAMES_OLD: it was there already; nothing changed and *old (may be NULL) is its value.
 * Amortised O(length of the name). */
enum names_result names_add(struct names *t, const char *name, int64_t value, int64_t *old);

/* The value of a name; false when it is not there. O(length). */
bool names_get(const struct names *t, const char *name, int64_t *value);

/* The value in slot i < t->cap; false when the slot is free. For going over all names, in no particular order. */
bool names_at(const struct names *t, size_t i, int64_t *value);

void names_free(struct names *t); /* leaves it zeroed */

#endif
