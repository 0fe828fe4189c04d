/* SPDX-License-Identifier: Apache-2.0 */
/* A hash table from names to numbers. Whole names are compared; the table's own address goes into the hash,
 * so that a file cannot be made to collide. */
#ifndef ONNX_NAME_TABLE_H
#define ONNX_NAME_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialise. Names are borrowed and must outlive the table. */
struct name_table {
	struct name_slot *slots;
	size_t cap, count; /* cap is a power of two, at least twice the count */
	uint64_t seed;
};

enum name_table_result { NAME_NEW, NAME_OLD, NAME_NO_MEMORY };

/* Adds name -> value. NAME_OLD: it was there already; nothing changed and *old (may be NULL) is its value.
 * Amortised O(length of the name). */
enum name_table_result name_table_add(struct name_table *t, const char *name, int64_t value, int64_t *old);

/* The value of a name; false when it is not there. O(length). */
bool name_table_get(const struct name_table *t, const char *name, int64_t *value);

/* The value in slot i < t->cap; false when the slot is free. For going over all names, in no particular
 * order. */
bool name_table_at(const struct name_table *t, size_t i, int64_t *value);

void name_table_free(struct name_table *t); /* leaves it zeroed */

#endif
