/* SPDX-License-Identifier: Apache-2.0 */
/* May items be stacked? The declared shapes must allow it, and a trial must show that items do not see each other. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "exec/items.h"
#include "exec/runner_state.h"

#define TRIAL 3           /* items */
#define TOLERANCE 1e-4    /* relative to the largest magnitude of the output */

static bool shapes_allow(const struct graph *g)
{
	for (int i = 0; i < g->n_inputs; i++) {
		const struct value_type *t = &g->values[g->inputs[i]].declared;

		if (t->rank == 0 || (t->rank > 0 && t->dims[0] > 1))
			return false;
	}
	return g->n_inputs > 0;
}

static void item_view(const struct tensor *from, int64_t i, struct tensor *to)
{
	*to = *from;
	to->dims[0] = 1;
	to->count = from->count / from->dims[0];
	to->data = (char *)from->data + (size_t)i * (tensor_bytes(from) / (size_t)from->dims[0]);
}

/* Of the finite elements: an infinity would make everything equal. */
static double largest(const struct tensor *t)
{
	double m = 0;

	for (int64_t i = 0; i < t->count; i++) {
		double v = fabs(tensor_get(t, i));

		m = isfinite(v) && v > m ? v : m;
	}
	return m;
}

/* Is `one` what `all` holds for item i? */
static bool same_part(const struct tensor *all, const struct tensor *one, int64_t i, int64_t items)
{
	double limit = TOLERANCE * largest(all);

	if (one->type != all->type || one->rank != all->rank || one->count * items != all->count
	    || all->rank < 1 || all->dims[0] % items || all->dims[0] / items != one->dims[0])
		return false;
	for (int64_t k = 0; k < one->count; k++) {
		double a = tensor_get(all, i * one->count + k), b = tensor_get(one, k);

		if (!(fabs(a - b) <= limit) && !(isnan(a) && isnan(b)) && a != b)
			return false;
	}
	return true;
}

static enum tamis_status compare_items(struct runner *all, struct runner *one, const struct batch *b,
                                       struct tensor *in, bool *same, struct tamis_error *err)
{
	const struct graph *g = all->program->graph;
	enum tamis_status s = TAMIS_OK;

	for (int64_t t = 0; s == TAMIS_OK && *same && t < b->items; t++) {
		for (int i = 0; i < b->n; i++)
			item_view(&b->in[i], t, &in[i]);
		s = runner_run(one, in, NULL, err);
		for (int i = 0; s == TAMIS_OK && i < g->n_outputs; i++)
			*same &= same_part(runner_output(all, i), runner_output(one, i), t, b->items);
	}
	return s;
}

/* A failure of the stacked run only says that stacking is not for this model. */
static enum tamis_status trial(struct runner *all, struct runner *one, const struct batch *b, bool *same,
                               struct tamis_error *err)
{
	struct tensor *in = tm_array((size_t)b->n, sizeof *in);
	struct tamis_error ignored = { 0 };
	enum tamis_status s;

	if (!in)
		return tm_no_memory(err, "trying to stack items");
	*same = runner_run(all, b->in, NULL, &ignored) == TAMIS_OK;
	s = ignored.status == TAMIS_E_MEMORY ? tm_no_memory(err, "trying to stack items") : TAMIS_OK;
	if (s == TAMIS_OK && *same)
		s = compare_items(all, one, b, in, same, err);
	free(in);
	return s;
}

static enum tamis_status try_stacking(const struct program *p, const struct batch *b, enum batching *out,
                                      struct tamis_error *err)
{
	struct runner *all = NULL, *one = NULL;
	bool same = false;
	enum tamis_status s = runner_create(p, &all, err);

	if (s == TAMIS_OK)
		s = runner_create(p, &one, err);
	if (s == TAMIS_OK)
		s = trial(all, one, b, &same, err);
	if (s == TAMIS_OK && same)
		*out = BATCH_STACKED;
	runner_free(all);
	runner_free(one);
	return s;
}

static bool stacked(const struct tensor *t, int64_t items)
{
	int bits = dtype_bits((int)t->type);

	return bits && t->rank > 0 && t->dims[0] == items && t->count / items * bits % 8 == 0;
}

enum tamis_status batch_check(const struct batch *b, int n_in, struct tamis_error *err)
{
	if (!b->items)
		return TAMIS_OK;
	if (b->items < 0 || b->n != n_in || (b->whole && b->items != 1))
		return tm_fail(err, TAMIS_E_INVALID, "a batch holds %d tensors for %lld items; the model has %d inputs", b->n,
		               (long long)b->items, n_in);
	for (int i = 0; !b->whole && i < b->n; i++)
		if (!stacked(&b->in[i], b->items))
			return tm_fail(err, TAMIS_E_INVALID, "a batch of %lld items does not have them along the first axis of "
			               "input %d, each in whole bytes", (long long)b->items, i);
	return TAMIS_OK;
}

enum tamis_status items_batching(const struct program *p, struct feed_reader *reader, enum batching *out,
                                 struct tamis_error *err)
{
	struct batch b = { 0 };
	enum tamis_status s = reader->rewind(reader->self, err);

	*out = BATCH_ONE;
	if (s == TAMIS_OK)
		s = reader->next(reader->self, TRIAL, &b, err);
	if (s == TAMIS_OK && b.items == 0)
		s = tm_fail(err, TAMIS_E_INVALID, "the calibration data hold no item");
	if (s == TAMIS_OK)
		s = batch_check(&b, p->graph->n_inputs, err);
	if (s == TAMIS_OK && !b.whole && b.items > 1 && shapes_allow(p->graph))
		s = try_stacking(p, &b, out, err);
	if (s == TAMIS_OK)
		s = reader->rewind(reader->self, err);
	return s;
}
