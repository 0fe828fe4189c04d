/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/scorefile/scoring.h"

#include <string.h>

#include "slim/score/score_state.h"
#include "slim/state.h"

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "keeping scores");
}

static float *as_floats(struct arena *a, const struct tensor *t)
{
	float *w = arena_array(a, (size_t)t->count + 1, sizeof *w);

	for (int64_t k = 0; w && k < t->count; k++)
		w[k] = (float)tensor_get(t, k);
	return w;
}

static void note_shape(const struct tensor *t, int *rank, int64_t *dims)
{
	*rank = t->rank;
	memcpy(dims, t->dims, (size_t)t->rank * sizeof *dims);
}

static enum tamis_status keep_layer(const struct slim *s, struct score_file *f, int i, struct tamis_error *err)
{
	const struct layer *l = &s->layers.list[i];
	const struct value *v = &s->graph->values[l->weight];
	struct scored_layer *x = &f->layer[i];
	struct arena *a = &f->arena;

	f->layers.list[i] = *l;
	f->layers.list[i].node = f->layers.list[i].weight = i;
	f->layers.list[i].bias = GRAPH_NONE;
	f->layers.list[i].note = l->note ? arena_strdup(a, l->note) : NULL;
	x->node = arena_strdup(a, s->graph->nodes[l->node].name);
	x->op = s->graph->nodes[l->node].op->name;
	x->weight = arena_strdup(a, v->name);
	note_shape(&v->constant, &x->rank, x->dims);
	x->w = l->note ? NULL : as_floats(a, &v->constant);
	x->tested_positions = l->note ? 0 : signals_positions(l);
	return x->node && x->weight && (l->note ? f->layers.list[i].note != NULL : x->w != NULL) ? TAMIS_OK : no_memory(err);
}

/* Biases that were added for the sake of a cut are none of the model's own. */
static enum tamis_status keep_parameters(const struct slim *s, struct score_file *f, struct tamis_error *err)
{
	struct score_sums *sums = &f->sums;
	int n = 0;

	f->parameter = arena_array(&f->arena, (size_t)sums->n_parameters + 1, sizeof *f->parameter);
	if (!f->parameter)
		return no_memory(err);
	for (int k = 0; k < sums->n_parameters; k++) {
		const struct value *v = &s->graph->values[sums->parameter[k].value];
		struct scored_parameter *p = &f->parameter[n];

		if (graph_find(s->original, v->name) < 0) {
			exact_sums_free(&sums->parameter[k].sum);
			continue;
		}
		sums->parameter[n] = sums->parameter[k];
		sums->parameter[n].value = n;
		n++;
		p->name = arena_strdup(&f->arena, v->name);
		p->entries = v->constant.count;
		note_shape(&v->constant, &p->rank, p->dims);
		p->w = as_floats(&f->arena, &v->constant);
		if (!p->name || !p->w)
			return no_memory(err);
	}
	f->n_parameters = sums->n_parameters = n;
	return TAMIS_OK;
}

static enum tamis_status keep_inputs(struct slim *s, struct score_file *f, struct tamis_error *err)
{
	struct score_origin *o = &f->origin;
	struct batch b = { 0 };
	struct feed_reader *r = s->fit.reader;
	enum tamis_status status = r->rewind(r->self, err);

	if (status == TAMIS_OK)
		status = r->next(r->self, 1, &b, err);
	if (status != TAMIS_OK)
		return status;
	o->n_inputs = b.n;
	o->input = arena_array(&f->arena, (size_t)b.n + 1, sizeof *o->input);
	for (int i = 0; o->input && i < b.n; i++) {
		o->input[i].name = arena_strdup(&f->arena, s->graph->values[s->graph->inputs[i]].name);
		o->input[i].type = (int)b.in[i].type;
		note_shape(&b.in[i], &o->input[i].rank, o->input[i].dims);
		if (!o->input[i].name)
			return no_memory(err);
	}
	return o->input ? TAMIS_OK : no_memory(err);
}

static const char *text_or_none(const char *s)
{
	return s ? s : "";
}

const char *slim_describe_scoring(const struct slim *s, struct arena *a)
{
	const struct tamis_slim_options *o = s->in->options;

	return arena_printf(a, "head=%s features=%s criterion=%s mutable=%d only=%s skip=%s", o->head ? o->head : "auto",
	                    s->figures->features, s->criterion->name, o->mutable_initializers, text_or_none(o->only),
	                    text_or_none(o->skip));
}

static enum tamis_status keep_origin(struct slim *s, struct score_file *f, struct tamis_error *err)
{
	const struct tamis_slim_options *o = s->in->options;
	struct score_origin *to = &f->origin;
	struct arena *a = &f->arena;

	*to = (struct score_origin){ .source_sha256 = arena_strdup(a, s->in->doc->sha256_hex), .seed = o->seed,
		.from = s->fit.from, .to = s->fit.to, .chunk = s->fit.chunk, .stacked = s->fit.batching == BATCH_STACKED,
		.random = s->in->random_items, .alpha = o->alpha, .fdr = s->fdr, .head = s->head };
	to->head.graph = NULL;
	if (s->in->calibration_sha256)
		to->calibration_sha256 = arena_strdup(a, s->in->calibration_sha256);
	to->options = slim_describe_scoring(s, a);
	f->producer = "tamis " TAMIS_VERSION;
	if (!to->source_sha256 || !to->options || (s->in->calibration_sha256 && !to->calibration_sha256))
		return no_memory(err);
	return keep_inputs(s, f, err);
}

static enum tamis_status keep(struct slim *s, struct score_file *f, struct tamis_error *err)
{
	enum tamis_status status = keep_origin(s, f, err);

	f->layers.n = s->layers.n;
	f->layers.list = arena_array(&f->layers.arena, (size_t)s->layers.n + 1, sizeof *f->layers.list);
	f->layer = arena_array(&f->arena, (size_t)s->layers.n + 1, sizeof *f->layer);
	if (!f->layers.list || !f->layer)
		return no_memory(err);
	for (int i = 0; status == TAMIS_OK && i < s->layers.n; i++)
		status = keep_layer(s, f, i, err);
	return status == TAMIS_OK ? keep_parameters(s, f, err) : status;
}

enum tamis_status slim_score(const struct slim_inputs *in, int shard, int shards, struct score_file *out,
                             struct tamis_error *err)
{
	struct slim_figures figures = { 0 };
	struct arena arena = { 0 };
	struct slim s = { .in = in, .figures = &figures, .arena = &arena };
	enum tamis_status status = slim_open(&s, err);

	s.pass = "score";
	out->shard = shard;
	out->shards = shards;
	if (status == TAMIS_OK)
		status = pass_copy(&s, err);
	if (status == TAMIS_OK)
		status = pass_layers(&s, err);
	if (status == TAMIS_OK)
		status = pass_sum(&s, shard, shards, &out->sums, err);
	if (status == TAMIS_OK)
		status = keep(&s, out, err);
	slim_close(&s);
	arena_free(&arena);
	return status == TAMIS_OK && !shards ? score_file_finish(out, err) : status;
}
