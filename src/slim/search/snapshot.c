/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/search/snapshot.h"

#include <stdlib.h>
#include <string.h>

static const struct tensor *tensor_of(const struct graph *g, const struct parameter *p)
{
	return &g->values[p->value].constant;
}

static size_t element_size(const struct tensor *t)
{
	return (size_t)dtype_bits((int)t->type) / 8;
}

/* Minus zero has a bit set and is kept. */
static bool is_zero(const uint8_t *x, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (x[i])
			return false;
	return true;
}

/* ---- taking ---------------------------------------------------------------------------------------------------- */

static size_t packed_size(const struct parameter *p, const struct tensor *t)
{
	size_t size = element_size(t), n = 0;

	if (p->layer < 0)
		return tensor_bytes(t);
	for (int64_t i = 0; i < t->count; i++)
		n += !is_zero((const uint8_t *)t->data + (size_t)i * size, size);
	return ((size_t)t->count + 7) / 8 + n * size;
}

static uint8_t *pack(const struct parameter *p, const struct tensor *t, uint8_t *to)
{
	size_t size = element_size(t), flags = ((size_t)t->count + 7) / 8;
	uint8_t *next = to + flags;

	if (p->layer < 0) {
		if (t->count)
			memcpy(to, t->data, tensor_bytes(t));
		return to + tensor_bytes(t);
	}
	memset(to, 0, flags);
	for (int64_t i = 0; i < t->count; i++) {
		const uint8_t *from = (const uint8_t *)t->data + (size_t)i * size;

		if (is_zero(from, size))
			continue;
		to[i / 8] |= (uint8_t)(1 << i % 8);
		memcpy(next, from, size);
		next += size;
	}
	return next;
}

static int64_t count_nonzero(const struct tensor *t)
{
	int64_t n = 0;

	for (int64_t i = 0; i < t->count; i++)
		n += tensor_get(t, i) != 0;
	return n;
}

enum tamis_status snapshot_take(const struct graph *g, const struct parameters *p, double keep, struct snapshot *out,
                                struct tamis_error *err)
{
	uint8_t *to;

	*out = (struct snapshot){ .keep = keep };
	for (int i = 0; i < p->n; i++) {
		out->size += packed_size(&p->list[i], tensor_of(g, &p->list[i]));
		out->kept += p->list[i].layer >= 0 ? count_nonzero(tensor_of(g, &p->list[i])) : 0;
	}
	out->bytes = to = tm_array_uninit(out->size + 1, 1);
	if (!to)
		return tm_no_memory(err, "keeping a round");
	for (int i = 0; i < p->n; i++)
		to = pack(&p->list[i], tensor_of(g, &p->list[i]), to);
	return TAMIS_OK;
}

/* ---- restoring ------------------------------------------------------------------------------------------------- */

/* NULL when the bytes end too early. */
static const uint8_t *unpack(const struct parameter *p, struct tensor *t, const uint8_t *from, const uint8_t *end)
{
	size_t size = element_size(t), flags = ((size_t)t->count + 7) / 8;
	size_t whole = p->layer < 0 ? tensor_bytes(t) : flags;
	const uint8_t *next = from + whole;

	if ((size_t)(end - from) < whole)
		return NULL;
	if (p->layer < 0) {
		if (t->count)
			memcpy(t->data, from, whole);
		return next;
	}
	for (int64_t i = 0; i < t->count; i++) {
		uint8_t *to = (uint8_t *)t->data + (size_t)i * size;

		if (!(from[i / 8] >> i % 8 & 1)) {
			memset(to, 0, size);
			continue;
		}
		if ((size_t)(end - next) < size)
			return NULL;
		memcpy(to, next, size);
		next += size;
	}
	return next;
}

enum tamis_status snapshot_restore(const struct snapshot *s, struct graph *g, const struct parameters *p,
                                   struct tamis_error *err)
{
	const uint8_t *from = s->bytes, *end = s->bytes + s->size;

	for (int i = 0; from && i < p->n; i++)
		from = unpack(&p->list[i], &g->values[p->list[i].value].constant, from, end);
	return from == end ? TAMIS_OK
	                   : tm_fail(err, TAMIS_E_INVALID, "a kept round does not fit the parameters of the model");
}

void snapshot_free(struct snapshot *s)
{
	free(s->bytes);
	*s = (struct snapshot){ 0 };
}
