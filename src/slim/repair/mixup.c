/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/repair/mixup.h"

#include <stdlib.h>

#include "base/loop.h"
#include "slim/repair/match.h"

bool mixup_fits(const struct graph *g)
{
	for (int i = 0; i < g->n_inputs; i++) {
		int type = (int)g->values[g->inputs[i]].declared.type;

		if (!dtype_is_float(type) && type != DT_UINT8)
			return false;
	}
	return g->n_inputs > 0;
}

enum tamis_status mixup_open(const struct store *store, struct mixup *out, struct tamis_error *err)
{
	*out = (struct mixup){ .store = store };
	return runner_create(store->program, &out->original, err);
}

void mixup_close(struct mixup *m)
{
	runner_free(m->original);
	free(m->target);
	*m = (struct mixup){ 0 };
}

LOOP_VERSIONS static void mix_bytes(uint8_t *restrict x, const uint8_t *restrict y, int64_t n, float weight)
{
	for (int64_t k = 0; k < n; k++)
		x[k] = (uint8_t)(weight * x[k] + (1 - weight) * y[k] + 0.5f);
}

LOOP_VERSIONS static void mix_floats(float *restrict x, const float *restrict y, int64_t n, float weight)
{
	for (int64_t k = 0; k < n; k++)
		x[k] = weight * x[k] + (1 - weight) * y[k];
}

/* y into item i of the stacked x. */
static void mix(struct tensor *x, int64_t i, const struct tensor *y, double weight)
{
	int64_t at = i * y->count;

	if (x->type == DT_FLOAT)
		mix_floats((float *)x->data + at, y->data, y->count, (float)weight);
	else if (x->type == DT_UINT8)
		mix_bytes((uint8_t *)x->data + at, y->data, y->count, (float)weight);
	else
		for (int64_t k = 0; k < y->count; k++)
			tensor_set(x, at + k, weight * tensor_get(x, at + k) + (1 - weight) * tensor_get(y, k));
}

static bool alike(const struct tensor *in, const struct stored *y, int64_t items, int n)
{
	for (int k = 0; k < n; k++)
		if (in[k].type != y->in[k].type || in[k].count != items * y->in[k].count)
			return false;
	return true;
}

static enum tamis_status make_room(struct mixup *m, int64_t floats, struct tamis_error *err)
{
	size_t want = (size_t)floats * sizeof *m->target + 1;

	if (want <= m->capacity)
		return TAMIS_OK;
	free(m->target);
	m->target = tm_array_uninit(want, 1);
	m->capacity = m->target ? want : 0;
	return m->target ? TAMIS_OK : tm_no_memory(err, "distilling on mixtures");
}

/* Runs the original on the first `mixed` of the stacked items. */
static enum tamis_status run_original(struct mixup *m, const struct tensor *in, int64_t items, int64_t mixed,
                                      struct tamis_error *err)
{
	int n = m->store->program->graph->n_inputs;
	struct tensor *part = tm_array((size_t)n + 1, sizeof *part);
	enum tamis_status s;

	if (!part)
		return tm_no_memory(err, "distilling on mixtures");
	for (int k = 0; k < n; k++) {
		part[k] = in[k];
		if (items > 1) {
			part[k].dims[0] = mixed;
			part[k].count = in[k].count / items * mixed;
		}
	}
	s = runner_run(m->original, part, NULL, err);
	free(part);
	return s;
}

enum tamis_status mixup_shard(struct mixup *m, const int64_t *partner, int64_t items, int64_t mixed, struct rng *r,
                              struct tensor *in, const float **target, struct tamis_error *err)
{
	int n = m->store->program->graph->n_inputs;
	const struct head *h = m->store->job.head;
	int64_t floats;
	enum tamis_status s;

	for (int64_t i = 0; i < mixed; i++) {
		const struct stored *y = &m->store->list[partner[i]];
		double weight = rng_uniform(r);

		for (int k = 0; alike(in, y, items, n) && k < n; k++)
			mix(&in[k], i, &y->in[k], weight);
	}
	s = run_original(m, in, items, mixed, err);
	if (s != TAMIS_OK)
		return s;
	floats = match_target_size(h, m->original, mixed);
	s = make_room(m, floats * mixed, err);
	for (int64_t i = 0; s == TAMIS_OK && i < mixed; i++) {
		match_target(h, m->original, mixed, i, m->target + i * floats);
		target[i] = m->target + i * floats;
	}
	return s;
}
