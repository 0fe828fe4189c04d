/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/op.h"

#include <string.h>

bool op_needs(struct op_call *c, int i)
{
	const struct tensor *t = op_in(c, i);

	if (t && (t->data || t->count == 0))
		return true;
	c->unknown = true;
	return false;
}

const struct tensor *op_in(const struct op_call *c, int i)
{
	return i < c->n_in ? c->in[i] : NULL;
}

enum tamis_status op_set_out(struct op_call *c, int i, enum dtype type, int rank, const int64_t *dims)
{
	if (i >= c->n_out || !c->out[i])
		return TAMIS_OK;
	return tensor_shape(c->out[i], type, rank, dims, c->err);
}

enum tamis_status op_set_like(struct op_call *c, int i, enum dtype type, const struct tensor *shape_of)
{
	return op_set_out(c, i, type, shape_of->rank, shape_of->dims);
}

static const char *plain_domain(const char *domain)
{
	return !domain || !strcmp(domain, "ai.onnx") ? "" : domain;
}

static const struct op *find_in(const struct op *rows, const char *domain, const char *name)
{
	for (; rows->name; rows++)
		if (!strcmp(rows->name, name) && !strcmp(rows->domain, domain))
			return rows;
	return NULL;
}

static const struct op *find_first(const struct op_table *t, const char *domain, const char *name)
{
	for (int f = 0; f < t->count; f++) {
		const struct op *row = find_in(t->families[f], domain, name);

		if (row)
			return row;
	}
	return NULL;
}

const struct op *op_find(const struct op_table *t, const char *domain, const char *name, int64_t version)
{
	const struct op *row;

	domain = plain_domain(domain);
	row = find_first(t, domain, name);
	for (; row && row->name && !strcmp(row->name, name) && !strcmp(row->domain, domain); row++)
		if (version >= row->since && (row->until == OP_LATEST || version <= row->until))
			return row;
	return NULL;
}

bool op_known(const struct op_table *t, const char *domain, const char *name)
{
	return find_first(t, plain_domain(domain), name) != NULL;
}
