/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/gradients.h"

#include <stdlib.h>
#include <string.h>

/* The smallest spare that is large enough, and no larger than twice that. */
static void *take_spare(struct spares *s, size_t bytes, size_t *got)
{
	int best = -1;
	void *data;

	for (int i = 0; i < s->n; i++)
		if (s->bytes[i] >= bytes && s->bytes[i] / 2 <= bytes && (best < 0 || s->bytes[i] < s->bytes[best]))
			best = i;
	if (best < 0)
		return NULL;
	data = s->data[best];
	*got = s->bytes[best];
	s->n--;
	s->data[best] = s->data[s->n];
	s->bytes[best] = s->bytes[s->n];
	return data;
}

enum tamis_status gradient_make(struct runner *r, int v, bool zero, struct tamis_error *err)
{
	struct tensor *g = &r->gradient[v];
	size_t bytes;

	if (g->data)
		return TAMIS_OK;
	*g = r->value[v];
	g->type = g->type == DT_DOUBLE ? DT_DOUBLE : DT_FLOAT;
	bytes = tensor_bytes(g);
	g->data = take_spare(&r->spares, bytes, &r->gradient_bytes[v]);
	if (!g->data) {
		g->data = tm_pages_uninit(bytes);
		r->gradient_bytes[v] = bytes;
	}
	if (!g->data)
		return tm_no_memory(err, "making a gradient");
	if (zero)
		memset(g->data, 0, bytes);
	return TAMIS_OK;
}

/* Room for one more spare in both lists. */
static bool reserve(struct spares *s)
{
	size_t cap = s->cap;

	return tm_grow((void **)&s->data, &cap, (size_t)s->n + 1, sizeof *s->data)
		&& tm_grow((void **)&s->bytes, &s->cap, (size_t)s->n + 1, sizeof *s->bytes);
}

void gradient_drop(struct runner *r, int v)
{
	struct tensor *g = &r->gradient[v];
	struct spares *s = &r->spares;

	if (!g->data)
		return;
	if (reserve(s)) {
		s->data[s->n] = g->data;
		s->bytes[s->n++] = r->gradient_bytes[v];
	} else {
		free(g->data);
	}
	g->data = NULL;
}

void gradients_free(struct runner *r)
{
	for (int v = 0; r->gradient && v < r->program->n_values; v++)
		free(r->gradient[v].data);
	for (int i = 0; i < r->spares.n; i++)
		free(r->spares.data[i]);
	free(r->spares.data);
	free(r->spares.bytes);
	free(r->gradient);
	free(r->gradient_bytes);
}
