/* SPDX-License-Identifier: Apache-2.0 */
/* Slimming reads its items dozens of times: what is deflated is inflated for the first reading, and once more to be
 * kept. A single reading keeps nothing. */
#include <stdlib.h>

#include "base/checked.h"
#include "data/source.h"

#define KEPT_BYTES (256ull << 20) /* of a source in all, at most, */
#define KEPT_SHARE 16             /* and no more than this part of the memory that is allowed */

static uint64_t most(const struct data_source *s)
{
	uint64_t share = s->options.max_memory / KEPT_SHARE;

	return share < KEPT_BYTES ? share : KEPT_BYTES;
}

static uint64_t size_to_keep(const struct column *c)
{
	return c->bytes.deflated ? c->bytes.size : 0;
}

enum tamis_status kept_plan(struct data_source *s, struct piece *p, const struct table *t, struct tamis_error *err)
{
	uint64_t bytes = s->keeps;

	for (int i = 0; t->columns && i < t->n; i++)
		if (!tm_add(bytes, size_to_keep(&t->columns[i]), &bytes))
			return TAMIS_OK;
	if (bytes == s->keeps || bytes > most(s))
		return TAMIS_OK;
	p->kept = tm_array((size_t)t->n, sizeof *p->kept);
	if (!p->kept)
		return tm_no_memory(err, "opening calibration data");
	for (int i = 0; i < t->n; i++)
		p->kept[i].size = size_to_keep(&t->columns[i]);
	s->keeps = bytes;
	return TAMIS_OK;
}

static enum tamis_status inflate(struct bytes *b, struct kept_member *k, struct tamis_error *err)
{
	uint8_t *memory = tm_array_uninit((size_t)k->size, 1);
	enum tamis_status status;

	if (!memory)
		return tm_no_memory(err, "keeping calibration data");
	status = bytes_read(b, memory, (size_t)k->size, err);
	if (status == TAMIS_OK)
		k->memory = memory;
	else
		free(memory);
	return status;
}

enum tamis_status kept_take(const struct piece *p, int input, struct bytes *b, struct tamis_error *err)
{
	struct kept_member *k = p->kept && p->was_read ? &p->kept[input] : NULL;
	enum tamis_status status = TAMIS_OK;

	if (!k || !k->size || !b->deflated || b->size != k->size)
		return TAMIS_OK;
	if (!k->memory)
		status = inflate(b, k, err);
	bytes_close(b);
	if (status == TAMIS_OK)
		bytes_from_lent(b, k->memory, k->size);
	return status;
}

void kept_free(struct data_source *s, struct piece *p)
{
	for (int i = 0; p->kept && i < s->n_inputs; i++)
		free(p->kept[i].memory);
	free(p->kept);
	p->kept = NULL;
}
