/* SPDX-License-Identifier: Apache-2.0 */
/* Score files, written: a message tree that points into the scores, packed at once. */
#include <stdlib.h>
#include <string.h>

#include <tamis_scores.pb-c.h>

#include "onnx/document.h"
#include "slim/scorefile/file.h"

/* A tree under construction; what it adds lives in the arena. */
struct tree {
	struct arena arena;
	bool failed;
};

static void *node(struct tree *t, size_t size)
{
	void *p = arena_alloc(&t->arena, size);

	t->failed |= !p;
	return p;
}

static char *text(const char *s)
{
	return (char *)(s ? s : "");
}

/* ---- sums --------------------------------------------------------------------------------------------------- */

static int64_t *broken_indices(struct tree *t, const struct exact_sums *s, size_t *n)
{
	int64_t *at;

	*n = 0;
	for (int64_t i = 0; i < s->n; i++)
		*n += s->broken[i];
	at = node(t, (*n + 1) * sizeof *at);
	for (int64_t i = 0, k = 0; at && i < s->n; i++)
		if (s->broken[i])
			at[k++] = i;
	return at;
}

static Tamis__ScoreExactSums *exact_message(struct tree *t, const struct exact_sums *s)
{
	Tamis__ScoreExactSums *m = node(t, sizeof *m);

	if (!m)
		return NULL;
	tamis__score_exact_sums__init(m);
	m->has_digits = m->has_top = true;
	m->digits = (uint32_t)s->digits;
	m->top = s->top;
	m->n_digit = (size_t)(s->n * s->digits);
	m->digit = s->digit;
	m->broken = broken_indices(t, s, &m->n_broken);
	return m;
}

static Tamis__ScoreCoMoment *moment_message(struct tree *t, const struct comoment *c)
{
	Tamis__ScoreCoMoment *m = node(t, sizeof *m);
	size_t lanes = (size_t)comoment_lanes(c->d), rows = (size_t)c->width * lanes;

	if (!m)
		return NULL;
	tamis__score_co_moment__init(m);
	m->has_items = m->has_pivoted = m->has_psi_scale = true;
	m->items = c->n;
	m->pivoted = c->pivoted;
	m->psi_scale = c->psi_scale;
	m->n_shift = (size_t)c->width * (size_t)c->d;
	m->n_sum = rows;
	m->shift = c->shift;
	m->n_scale = (size_t)c->d;
	m->scale = c->scale;
	m->n_psi_shift = m->n_sum_psi = (size_t)c->r;
	m->psi_shift = c->psi_shift;
	m->sum = c->sum;
	m->sum_psi = c->sum_psi;
	m->n_cross = rows * (size_t)c->r;
	m->cross = c->cross;
	m->n_within = (size_t)comoment_pairs(c->width) * lanes;
	m->within = c->within;
	return m;
}

static Tamis__ScoreSums *sums_message(struct tree *t, const struct layer_sums *s)
{
	Tamis__ScoreSums *m = node(t, sizeof *m);

	if (!m)
		return NULL;
	tamis__score_sums__init(m);
	m->moment = moment_message(t, &s->moment);
	m->mean = exact_message(t, &s->mean);
	m->second = exact_message(t, &s->second);
	m->gain = exact_message(t, &s->gain);
	m->gradient2 = s->gradient2.n ? exact_message(t, &s->gradient2) : NULL;
	m->energy = s->energy.n ? exact_message(t, &s->energy) : NULL;
	m->products = s->products.n ? exact_message(t, &s->products) : NULL;
	m->has_grid_rows = s->products.n > 0;
	m->grid_rows = s->grid_rows;
	m->has_signals = m->has_reached = m->has_width = m->has_r = true;
	m->signals = s->signals;
	m->reached = s->reached;
	m->width = (uint32_t)s->moment.width;
	m->r = (uint32_t)s->moment.r;
	m->n_signal_scale = s->signal_scale ? (size_t)s->features : 0;
	m->signal_scale = s->signal_scale;
	return m;
}

static Tamis__ScoreShard *shard_message(struct tree *t, const struct score_file *f)
{
	Tamis__ScoreShard *m = node(t, sizeof *m);
	Tamis__ScoreOutputMoment *psi = node(t, sizeof *psi);

	if (!m || !psi)
		return NULL;
	tamis__score_shard__init(m);
	tamis__score_output_moment__init(psi);
	m->has_index = m->has_count = true;
	m->index = (uint32_t)f->shard;
	m->count = (uint32_t)f->shards;
	m->psi = psi;
	psi->has_items = psi->has_r = psi->has_pivoted = psi->has_scale = true;
	psi->items = f->sums.psi.n;
	psi->r = (uint32_t)f->sums.psi.r;
	psi->pivoted = f->sums.psi.pivoted;
	psi->scale = f->sums.psi.scale;
	psi->n_shift = psi->n_sum = psi->r;
	psi->shift = f->sums.psi.shift;
	psi->sum = f->sums.psi.sum;
	psi->n_second = (size_t)psi->r * psi->r;
	psi->second = f->sums.psi.second;
	return m;
}

/* ---- layers and parameters ---------------------------------------------------------------------------------- */

static Tamis__ScoreDistribution *distribution_message(struct tree *t, const struct distribution *d)
{
	Tamis__ScoreDistribution *m = node(t, sizeof *m);

	if (!m)
		return NULL;
	tamis__score_distribution__init(m);
	m->has_count = m->has_zeros = true;
	m->count = d->count;
	m->zeros = d->zeros;
	m->n_quantile = DISTRIBUTION_QUANTILES;
	m->quantile = (double *)d->quantile;
	if (!(d->low > 0))
		return m;
	m->has_low = m->has_high = true;
	m->low = d->low;
	m->high = d->high;
	m->n_bin = DISTRIBUTION_BINS;
	m->bin = (int64_t *)d->bin;
	return m;
}

static Tamis__ScoreView *view_message(struct tree *t, const struct linear_view *v)
{
	Tamis__ScoreView *m = node(t, sizeof *m);

	if (!m)
		return NULL;
	tamis__score_view__init(m);
	m->has_groups = m->has_fan_in = m->has_outs = m->has_inner = true;
	m->has_stride_group = m->has_stride_out = m->has_stride_channel = m->has_weight_scale = true;
	m->groups = v->groups;
	m->fan_in = v->fan_in;
	m->outs = v->outs;
	m->inner = v->inner;
	m->stride_group = v->stride_group;
	m->stride_out = v->stride_out;
	m->stride_channel = v->stride_channel;
	m->weight_scale = v->weight_scale;
	return m;
}

/* The rows of the lower triangles, one group after the other. */
static void add_covariance(struct tree *t, Tamis__ScoreLayer *m, const struct layer *l, const double *full)
{
	int64_t d = l->view.fan_in;
	double *to;

	m->n_covariance = (size_t)(l->features * (d + 1) / 2);
	m->covariance = to = node(t, m->n_covariance * sizeof *to);
	for (int64_t i = 0; to && i < l->features; i++) {
		memcpy(to, full + i * d, (size_t)(i % d + 1) * sizeof *to);
		to += i % d + 1;
	}
}

static void add_scores(struct tree *t, Tamis__ScoreLayer *m, const struct layer *l, const struct scored_layer *x,
                       const struct layer_score *s)
{
	m->n_mean = m->n_second = m->n_relevance = m->n_p = m->n_q = (size_t)l->features;
	m->mean = s->mean;
	m->second = s->second;
	m->relevance = s->relevance;
	m->p = s->p;
	m->q = x->q;
	m->n_gain = (size_t)l->view.outs;
	m->gain = s->gain;
	m->n_gradient2 = s->gradient2 ? (size_t)l->entries : 0;
	m->gradient2 = s->gradient2;
	m->n_energy = s->energy ? (size_t)l->entries : 0;
	m->energy = s->energy;
	if (s->covariance)
		add_covariance(t, m, l, s->covariance);
	m->has_blind = true;
	m->blind = s->blind;
	m->score = distribution_message(t, &x->score);
	m->p_value = distribution_message(t, &x->p);
}

static Tamis__ScoreLayer *layer_message(struct tree *t, const struct score_file *f, int i)
{
	Tamis__ScoreLayer *m = node(t, sizeof *m);
	const struct layer *l = &f->layers.list[i];
	const struct scored_layer *x = &f->layer[i];
	const struct copies *c;

	if (!m)
		return NULL;
	tamis__score_layer__init(m);
	m->node = text(x->node);
	m->op = text(x->op);
	m->weight = text(x->weight);
	m->n_dims = (size_t)x->rank;
	m->dims = (int64_t *)x->dims;
	m->note = (char *)l->note;
	m->has_positions = m->has_macs = true;
	m->positions = l->positions;
	m->macs = l->macs;
	if (l->note)
		return m;
	m->has_tested_positions = true;
	m->tested_positions = f->shards ? f->sums.layer[i].positions : x->tested_positions;
	m->view = view_message(t, &l->view);
	m->n_w = (size_t)l->entries;
	m->w = x->w;
	c = f->shards ? &f->sums.layer[i].copies : &f->scores.layer[i].copies;
	m->n_copy_of = c->first ? (size_t)c->n : 0;
	m->copy_of = c->first;
	if (f->shards)
		m->sums = sums_message(t, &f->sums.layer[i]);
	else
		add_scores(t, m, l, x, &f->scores.layer[i]);
	return m;
}

static Tamis__ScoreParameter *parameter_message(struct tree *t, const struct score_file *f, int k)
{
	Tamis__ScoreParameter *m = node(t, sizeof *m);
	const struct scored_parameter *p = &f->parameter[k];

	if (!m)
		return NULL;
	tamis__score_parameter__init(m);
	m->name = text(p->name);
	m->n_dims = (size_t)p->rank;
	m->dims = (int64_t *)p->dims;
	if (!f->shards) {
		m->n_score = (size_t)p->entries;
		m->score = p->score;
		return m;
	}
	m->n_w = (size_t)p->entries;
	m->w = p->w;
	m->sum = exact_message(t, &f->sums.parameter[k].sum);
	return m;
}

/* ---- origin ------------------------------------------------------------------------------------------------- */

static Tamis__ScoreHead *head_message(struct tree *t, const struct head *h)
{
	Tamis__ScoreHead *m = node(t, sizeof *m);

	if (!m)
		return NULL;
	tamis__score_head__init(m);
	m->has_kind = m->has_output = m->has_classes = m->has_rows = m->has_width = true;
	m->kind = (uint32_t)h->kind;
	m->output = (uint32_t)h->output;
	m->classes = h->classes;
	m->rows = h->rows;
	m->width = h->width;
	return m;
}

static Tamis__ScoreInput *input_message(struct tree *t, const struct score_input *in)
{
	Tamis__ScoreInput *m = node(t, sizeof *m);

	if (!m)
		return NULL;
	tamis__score_input__init(m);
	m->name = text(in->name);
	m->has_type = true;
	m->type = in->type;
	m->n_dims = (size_t)in->rank;
	m->dims = (int64_t *)in->dims;
	return m;
}

static void add_numbers(Tamis__ScoreOrigin *m, const struct score_origin *o)
{
	m->has_seed = m->has_from = m->has_to = m->has_chunk = m->has_stacked = m->has_random = true;
	m->has_alpha = m->has_fdr = true;
	m->seed = o->seed;
	m->from = o->from;
	m->to = o->to;
	m->chunk = o->chunk;
	m->stacked = o->stacked;
	m->random = o->random;
	m->alpha = o->alpha;
	m->fdr = (uint32_t)o->fdr;
}

static Tamis__ScoreOrigin *origin_message(struct tree *t, const struct score_file *f)
{
	Tamis__ScoreOrigin *m = node(t, sizeof *m);
	const struct score_origin *o = &f->origin;

	if (!m)
		return NULL;
	tamis__score_origin__init(m);
	m->source_sha256 = text(o->source_sha256);
	m->calibration_sha256 = (char *)o->calibration_sha256;
	m->options = text(o->options);
	m->has_items = true;
	m->items = f->shards ? f->sums.items : f->items;
	add_numbers(m, o);
	m->head = head_message(t, &o->head);
	m->n_input = (size_t)o->n_inputs;
	m->input = node(t, (m->n_input + 1) * sizeof *m->input);
	for (int i = 0; m->input && i < o->n_inputs; i++)
		m->input[i] = input_message(t, &o->input[i]);
	return m;
}

/* ---- whole -------------------------------------------------------------------------------------------------- */

static bool build(struct tree *t, const struct score_file *f, Tamis__ScoreFile *m)
{
	tamis__score_file__init(m);
	m->schema = (char *)"tamis.scores";
	m->has_version = true;
	m->version = SCORE_FILE_VERSION;
	m->producer = text(f->producer);
	m->origin = origin_message(t, f);
	m->n_layer = (size_t)f->layers.n;
	m->layer = node(t, (m->n_layer + 1) * sizeof *m->layer);
	for (int i = 0; m->layer && i < f->layers.n; i++)
		m->layer[i] = layer_message(t, f, i);
	m->n_parameter = (size_t)f->n_parameters;
	m->parameter = node(t, (m->n_parameter + 1) * sizeof *m->parameter);
	for (int k = 0; m->parameter && k < f->n_parameters; k++)
		m->parameter[k] = parameter_message(t, f, k);
	m->shard = f->shards ? shard_message(t, f) : NULL;
	return !t->failed;
}

enum tamis_status score_file_pack(const struct score_file *f, uint8_t **data, size_t *size, struct tamis_error *err)
{
	struct tree t = { 0 };
	Tamis__ScoreFile m;
	enum tamis_status s = build(&t, f, &m) ? TAMIS_OK : tm_no_memory(err, "packing scores");

	*data = NULL;
	*size = s == TAMIS_OK ? tamis__score_file__get_packed_size(&m) : 0;
	if (*size > DOC_MAX_PACKED)
		s = tm_fail(err, TAMIS_E_OUTPUT, "the scores take %zu bytes, and one file can hold %u: score fewer layers at a "
		            "time with --only", *size, DOC_MAX_PACKED);
	if (s == TAMIS_OK) {
		*data = malloc(*size + 1);
		if (*data)
			tamis__score_file__pack(&m, *data);
		else
			s = tm_no_memory(err, "packing scores");
	}
	arena_free(&t.arena);
	return s;
}
