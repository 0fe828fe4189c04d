/* SPDX-License-Identifier: Apache-2.0 */
/* One array as the items of one graph input, read forwards. */
#ifndef DATA_COLUMN_H
#define DATA_COLUMN_H

#include <stdbool.h>
#include <stdint.h>

#include "data/bytes.h"
#include "data/npy.h"
#include "data/reader.h"

#define COLUMN_MAX_EMPTY 65536 /* items without elements */

struct column {
	const struct data_input *input;
	struct bytes bytes;   /* owned */
	struct npy npy;
	int64_t items;
	bool whole;           /* an item is a feed of the declared shape; otherwise items stack */
	struct tensor item;   /* type and shape of one item (without the item axis); no data */
	bool narrowed;        /* float64 taken as float */
	uint64_t max_memory;
};

/* Reads the header from `bytes` (taken over, also on failure), and settles how the array fits the input. An
 * input of type DT_UNDEFINED takes any. TAMIS_E_INVALID says what was expected and what came. Nothing but the
 * header is read or allocated for. */
enum tamis_status column_open(struct column *c, struct bytes *bytes, const struct data_input *input,
                              uint64_t max_memory, struct tamis_error *err);

/* The next n items, converted, into out (n * tensor_bytes(&c->item) bytes). The first read of a Fortran-order
 * array loads it whole: TAMIS_E_MEMORY beyond max_memory. */
enum tamis_status column_read(struct column *c, int64_t n, void *out, struct tamis_error *err);

void column_close(struct column *c); /* zeroed and closed ones are fine */

/* "float[N,3,224,224]" with names for symbolic dimensions, for messages; returns buf. */
char *describe_input(const struct data_input *in, char *buf, size_t size);

/* Does the declared shape from axis `from` on agree with dims (of n axes)? */
bool shape_agrees(const struct data_input *in, int from, const int64_t *dims, int n);

#endif
