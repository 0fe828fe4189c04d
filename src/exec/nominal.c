/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/nominal.h"

#include <stdlib.h>
#include <string.h>

enum {
	NOMINAL_ITEMS = 2,   /* for axes that the model leaves open: large enough that none is broadcast or vanishes */
	NOMINAL_EXTENT = 160,
	NOMINAL_STEP = 32    /* between the extents of two inputs, unless a symbol says that they agree */
};

/* The first input with an axis of that symbol: axes of one name agree, those of two inputs need not, and a sum that
 * broadcasts must not pass for one of equal shapes. */
static int first_with(const struct graph *g, const char *symbol, int otherwise)
{
	for (int i = 0; symbol && i < otherwise; i++) {
		const struct value_type *t = &g->values[g->inputs[i]].declared;

		for (int k = 0; k < t->rank; k++)
			if (t->symbol[k] && !strcmp(t->symbol[k], symbol))
				return i;
	}
	return otherwise;
}

static int64_t nominal_extent(const struct graph *g, int input, int axis)
{
	const struct value_type *t = &g->values[g->inputs[input]].declared;

	if (t->dims[axis] >= 0)
		return t->dims[axis];
	return axis == 0 ? NOMINAL_ITEMS : NOMINAL_EXTENT + NOMINAL_STEP * first_with(g, t->symbol[axis], input);
}

/* False: an input has no declared shape. */
static bool nominal_inputs(const struct graph *g, struct tensor *in)
{
	struct tamis_error ignored = { 0 };

	for (int i = 0; i < g->n_inputs; i++) {
		const struct value_type *t = &g->values[g->inputs[i]].declared;
		int64_t dims[TENSOR_MAX_RANK];

		if (t->type == DT_UNDEFINED || t->rank < 0)
			return false;
		for (int k = 0; k < t->rank; k++)
			dims[k] = nominal_extent(g, i, k);
		if (tensor_shape(&in[i], t->type, t->rank, dims, &ignored) != TAMIS_OK)
			return false;
	}
	return true;
}

enum tamis_status nominal_plan(const struct program *p, struct plan **out, struct tamis_error *err)
{
	struct tensor *in = tm_array((size_t)p->graph->n_inputs + 1, sizeof *in);
	struct tamis_error ignored = { 0 };
	enum tamis_status s = in ? TAMIS_OK : TAMIS_E_MEMORY;

	*out = NULL;
	if (in && nominal_inputs(p->graph, in))
		s = plan_create(p, in, out, &ignored);
	free(in);
	return s == TAMIS_E_MEMORY ? tm_no_memory(err, "laying out convolutions") : TAMIS_OK;
}
