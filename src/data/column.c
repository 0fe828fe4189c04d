/* SPDX-License-Identifier: Apache-2.0 */
#include "data/column.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"

char *describe_input(const struct data_input *in, char *buf, size_t size)
{
	size_t at = 0;
	const char *type = in->type == DT_UNDEFINED ? "any type" : dtype_name((int)in->type);
	int n = snprintf(buf, size, in->rank < 0 ? "%s of any shape" : "%s[", type);

	for (int i = 0; i <= in->rank && n >= 0 && (size_t)n < size - at; i++) {
		at += (size_t)n;
		if (i == in->rank)
			snprintf(buf + at, size - at, "]");
		else if (in->dims[i] >= 0)
			n = snprintf(buf + at, size - at, "%s%lld", i ? "," : "", (long long)in->dims[i]);
		else
			n = snprintf(buf + at, size - at, "%s%c", i ? "," : "", i == 0 ? 'N' : '?');
	}
	return buf;
}

bool shape_agrees(const struct data_input *in, int from, const int64_t *dims, int n)
{
	if (in->rank - from != n)
		return false;
	for (int i = 0; i < n; i++)
		if (in->dims[from + i] >= 0 && in->dims[from + i] != dims[i])
			return false;
	return true;
}

static enum tamis_status mismatch(const struct column *c, struct tamis_error *err)
{
	char want[160], came[160];

	return tm_fail(err, TAMIS_E_INVALID, "the input expects %s (or items of that shape on a further first "
	               "axis), and the array is %s", describe_input(c->input, want, sizeof want),
	               npy_describe(&c->npy, came, sizeof came));
}

/* Types without a numpy name come as raw bytes of their size. */
static bool type_agrees(struct column *c)
{
	enum dtype want = c->input->type, came = c->npy.shape.type;

	c->narrowed = want == DT_FLOAT && came == DT_DOUBLE;
	if (came == DT_UNDEFINED)
		return want != DT_UNDEFINED && dtype_descr((int)want)[0] == '\0' &&
		       dtype_bits((int)want) == 8 * c->npy.item_bytes;
	return want == DT_UNDEFINED || want == came || c->narrowed;
}

/* Which axes of the array number the items: sets items, whole and the shape of an item. False where
 * it does not fit. */
static bool settle_shape(struct column *c)
{
	const struct data_input *in = c->input;
	const int64_t *dims = c->npy.shape.dims;
	int rank = c->npy.shape.rank, skip;
	enum dtype type = in->type == DT_UNDEFINED ? c->npy.shape.type : in->type;

	c->items = rank > 0 ? dims[0] : 1;
	if (in->rank < 0 && rank > 0) {
		skip = 1;
	} else if (in->rank > 0 && rank == in->rank && shape_agrees(in, 1, dims + 1, rank - 1)) {
		skip = 1;
	} else if (in->rank >= 0 && rank == in->rank + 1 && shape_agrees(in, 0, dims + 1, rank - 1)) {
		c->whole = in->rank == 0 || dims[1] != 1;
		skip = c->whole ? 1 : 2;
	} else if (in->rank > 0 && rank == in->rank - 1 && shape_agrees(in, 1, dims, rank)) {
		c->items = 1;
		skip = 0;
	} else if (rank == 0 && in->rank <= 0) {
		c->whole = true;
		skip = 0;
	} else {
		return false;
	}
	return tensor_shape(&c->item, type, rank - skip, dims + skip, NULL) == TAMIS_OK;
}

static enum tamis_status read_header(struct column *c, struct tamis_error *err)
{
	uint8_t start[NPY_PREAMBLE];
	size_t have = c->bytes.size < sizeof start ? (size_t)c->bytes.size : sizeof start, need;
	uint8_t *header = NULL;
	enum tamis_status status = bytes_read(&c->bytes, start, have, err);

	if (status == TAMIS_OK)
		status = npy_header_bytes(start, have, &need, err);
	if (status != TAMIS_OK)
		return status;
	if (need > c->bytes.size)
		return tm_fail(err, TAMIS_E_INVALID, "the .npy header claims %zu bytes, and the file has %llu", need,
		               (unsigned long long)c->bytes.size);
	header = malloc(need < sizeof start ? sizeof start : need);
	if (!header)
		return tm_no_memory(err, "reading an array");
	status = bytes_seek(&c->bytes, 0, err);
	if (status == TAMIS_OK)
		status = bytes_read(&c->bytes, header, need, err);
	if (status == TAMIS_OK)
		status = npy_parse(header, need, &c->npy, err);
	free(header);
	return status;
}

/* The length must be what the header says before anything is allocated by its word. */
static enum tamis_status check_length(const struct column *c, struct tamis_error *err)
{
	uint64_t need = npy_payload_bytes(&c->npy), have = c->bytes.size - c->npy.header_bytes;
	char came[160];

	if (need == have)
		return TAMIS_OK;
	return tm_fail(err, TAMIS_E_INVALID, "an array of %s needs %llu bytes after its header, and %llu came",
	               npy_describe(&c->npy, came, sizeof came), (unsigned long long)need,
	               (unsigned long long)have);
}

/* Items without elements take no bytes, so nothing but this bounds how many a few bytes claim. */
static enum tamis_status check_empty(const struct column *c, struct tamis_error *err)
{
	if (c->item.count || c->items <= COLUMN_MAX_EMPTY)
		return TAMIS_OK;
	return tm_fail(err, TAMIS_E_INVALID, "the array holds %lld items without elements; at most %d are accepted",
	               (long long)c->items, COLUMN_MAX_EMPTY);
}

enum tamis_status column_open(struct column *c, struct bytes *bytes, const struct data_input *input,
                              uint64_t max_memory, struct tamis_error *err)
{
	enum tamis_status status;

	*c = (struct column){.input = input, .bytes = *bytes, .max_memory = max_memory};
	*bytes = (struct bytes){0};
	status = read_header(c, err);
	if (status == TAMIS_OK)
		status = check_length(c, err);
	if (status == TAMIS_OK && (!type_agrees(c) || !settle_shape(c)))
		status = mismatch(c, err);
	if (status == TAMIS_OK)
		status = check_empty(c, err);
	if (status != TAMIS_OK)
		column_close(c);
	return status;
}

void column_close(struct column *c)
{
	bytes_close(&c->bytes);
	*c = (struct column){0};
}

/* ---- Fortran order ---- */

/* Writes element (i0, i1, ...) of the first-axis-fastest array where the last axis is fastest. One pass over
 * the output with an odometer of source offsets: O(count), no division. */
static void transpose(const struct npy *h, const uint8_t *from, uint8_t *to)
{
	const struct tensor *t = &h->shape;
	int64_t step[TENSOR_MAX_RANK], index[TENSOR_MAX_RANK] = {0}, at = 0;
	size_t width = (size_t)h->item_bytes;

	step[0] = 1;
	for (int k = 1; k < t->rank; k++)
		step[k] = step[k - 1] * t->dims[k - 1];
	for (int64_t n = 0; n < t->count; n++, to += width) {
		int k = t->rank - 1;

		memcpy(to, from + (size_t)at * width, width);
		for (at += step[k]; k > 0 && ++index[k] == t->dims[k]; at += step[k]) {
			at -= step[k] * t->dims[k];
			index[k--] = 0;
		}
	}
}

/* The array is then read from memory, in C order and without a header. */
static enum tamis_status load_fortran(struct column *c, struct tamis_error *err)
{
	uint64_t size = npy_payload_bytes(&c->npy);
	uint8_t *raw, *ordered;
	enum tamis_status status;

	c->npy.fortran = false;
	if (c->npy.shape.rank < 2 || c->npy.shape.count == 0)
		return TAMIS_OK;
	if (size > c->max_memory / 2)
		return tm_fail(err, TAMIS_E_MEMORY, "an array in Fortran order must be read whole, and its %llu bytes "
		               "twice are more than the %llu allowed", (unsigned long long)size,
		               (unsigned long long)c->max_memory);
	raw = tm_array_uninit((size_t)size, 1);
	ordered = tm_array_uninit((size_t)size, 1);
	status = raw && ordered ? bytes_read(&c->bytes, raw, (size_t)size, err)
	                        : tm_no_memory(err, "reading an array");
	if (status == TAMIS_OK) {
		transpose(&c->npy, raw, ordered);
		bytes_close(&c->bytes);
		bytes_from_memory(&c->bytes, ordered, size);
		ordered = NULL;
	}
	free(raw);
	free(ordered);
	return status;
}

/* ---- elements ---- */

static void fix_elements(const struct column *c, uint8_t *p, size_t n)
{
	enum dtype type = c->npy.shape.type;
	int parts = type == DT_COMPLEX64 || type == DT_COMPLEX128 ? 2 : 1;

	if (c->npy.swap)
		npy_swap(p, n * (size_t)parts, c->npy.item_bytes / parts);
	if (type == DT_BOOL)
		for (size_t i = 0; i < n; i++)
			p[i] = p[i] != 0;
}

/* Doubles pass through a buffer on their way to float. */
static enum tamis_status read_narrowed(struct column *c, size_t n, float *out, struct tamis_error *err)
{
	double part[1024];

	while (n > 0) {
		size_t some = n < 1024 ? n : 1024;
		enum tamis_status status = bytes_read(&c->bytes, part, some * sizeof *part, err);

		if (status != TAMIS_OK)
			return status;
		fix_elements(c, (uint8_t *)part, some);
		for (size_t i = 0; i < some; i++)
			out[i] = (float)part[i];
		out += some;
		n -= some;
	}
	return TAMIS_OK;
}

enum tamis_status column_read(struct column *c, int64_t n, void *out, struct tamis_error *err)
{
	size_t count = (size_t)(n * c->item.count);
	enum tamis_status status = TAMIS_OK;

	if (c->npy.fortran)
		status = load_fortran(c, err);
	if (status != TAMIS_OK)
		return status;
	if (c->narrowed)
		return read_narrowed(c, count, out, err);
	status = bytes_read(&c->bytes, out, count * (size_t)c->npy.item_bytes, err);
	if (status == TAMIS_OK)
		fix_elements(c, out, count);
	return status;
}
