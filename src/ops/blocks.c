/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/blocks.h"

#include <string.h>

enum tamis_status blocks_make(struct op_call *c, struct blocks *b, int64_t n, int64_t length)
{
	b->n = n;
	b->length = length;
	b->offset = scratch_alloc(c->scratch, (size_t)n, sizeof *b->offset);
	return b->offset || n == 0 ? TAMIS_OK : tm_no_memory(c->err, "indexing a tensor");
}

enum tamis_status blocks_index(struct tamis_error *err, int64_t *index, int64_t limit)
{
	if (*index < -limit || *index >= limit)
		return tm_fail(err, TAMIS_E_INVALID, "index %lld is outside an axis of length %lld",
		               (long long)*index, (long long)limit);
	if (*index < 0)
		*index += limit;
	return TAMIS_OK;
}

/* A constant size lets the compiler turn each copy of one element into one load and one store. */
#define FOR_SIZE(size, move) \
	switch (size) { \
	case 1: move(1); break; \
	case 2: move(2); break; \
	case 4: move(4); break; \
	case 8: move(8); break; \
	default: move(16); break; \
	}

void blocks_gather(const struct blocks *b, size_t size, const void *sparse, void *dense)
{
	const char *restrict from = sparse;
	char *restrict to = dense;
	size_t bytes = (size_t)b->length * size;

	if (b->length != 1) {
		for (int64_t k = 0; bytes && k < b->n; k++)
			memcpy(to + (size_t)k * bytes, from + b->offset[k] * (int64_t)size, bytes);
		return;
	}
#define MOVE(s) \
	for (int64_t k = 0; k < b->n; k++) \
		memcpy(to + k * (s), from + b->offset[k] * (s), (s))
	FOR_SIZE(size, MOVE)
#undef MOVE
}

void blocks_scatter(const struct blocks *b, size_t size, const void *dense, void *sparse)
{
	const char *restrict from = dense;
	char *restrict to = sparse;
	size_t bytes = (size_t)b->length * size;

	if (b->length != 1) {
		for (int64_t k = 0; bytes && k < b->n; k++)
			memcpy(to + b->offset[k] * (int64_t)size, from + (size_t)k * bytes, bytes);
		return;
	}
#define MOVE(s) \
	for (int64_t k = 0; k < b->n; k++) \
		memcpy(to + b->offset[k] * (s), from + k * (s), (s))
	FOR_SIZE(size, MOVE)
#undef MOVE
}

#define ADDERS(real) \
	static void gather_add_##real(const struct blocks *b, const real *restrict sparse, real *restrict dense) \
	{ \
		for (int64_t k = 0; k < b->n; k++) \
			for (int64_t i = 0; i < b->length; i++) \
				dense[k * b->length + i] += sparse[b->offset[k] + i]; \
	} \
	static void scatter_add_##real(const struct blocks *b, const real *restrict dense, \
	                               real *restrict sparse) \
	{ \
		for (int64_t k = 0; k < b->n; k++) \
			for (int64_t i = 0; i < b->length; i++) \
				sparse[b->offset[k] + i] += dense[k * b->length + i]; \
	}

ADDERS(float)
ADDERS(double)

void blocks_gather_add(const struct blocks *b, enum dtype type, const void *sparse, void *dense)
{
	if (type == DT_FLOAT)
		gather_add_float(b, sparse, dense);
	else
		gather_add_double(b, sparse, dense);
}

void blocks_scatter_add(const struct blocks *b, enum dtype type, const void *dense, void *sparse)
{
	if (type == DT_FLOAT)
		scatter_add_float(b, dense, sparse);
	else
		scatter_add_double(b, dense, sparse);
}
