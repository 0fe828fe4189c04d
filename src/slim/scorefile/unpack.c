/* SPDX-License-Identifier: Apache-2.0 */
/* Score files, read: nothing in them is believed. Every count is held against the shapes before an element is touched. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <tamis_scores.pb-c.h>

#include "base/checked.h"
#include "onnx/allocator.h"
#include "slim/scorefile/file.h"
#include "slim/score/score_state.h"

#define MAX_SHARDS 65536
#define MAX_R 4096 /* features of the outputs */
#define MAX_COUNT (INT64_MAX / MAX_SHARDS) /* of items or positions in one file, so that those of a set can be added */

struct reading {
	struct score_file *out;
	struct tamis_error *err;
	const char *layer; /* in hand, for messages */
};

static enum tamis_status refuse(struct reading *r, const char *what)
{
	tm_fail(r->err, TAMIS_E_INVALID, "the score file is damaged: %s", what);
	if (r->layer)
		tm_in_tensor(r->err, r->layer);
	return TAMIS_E_INVALID;
}

static enum tamis_status no_memory(struct reading *r)
{
	return tm_no_memory(r->err, "reading scores");
}

static bool is_count(int64_t n)
{
	return n >= 0 && n <= MAX_COUNT;
}

/* A copy in the arena, also of nothing. */
static void *copy(struct reading *r, const void *from, size_t n, size_t size)
{
	void *to = arena_array(&r->out->arena, n + 1, size);

	if (to && n)
		memcpy(to, from, n * size);
	return to;
}

static const char *copy_text(struct reading *r, const char *s)
{
	return arena_strdup(&r->out->arena, s ? s : "");
}

/* ---- shapes ------------------------------------------------------------------------------------------------- */

static enum tamis_status read_dims(struct reading *r, const int64_t *from, size_t n, int *rank, int64_t *dims,
                                   int64_t *count)
{
	if (n > TENSOR_MAX_RANK)
		return refuse(r, "a shape has too many dimensions");
	*rank = (int)n;
	*count = 1;
	for (size_t i = 0; i < n; i++) {
		dims[i] = from[i];
		if (dims[i] < 0 || !tm_mul(*count, dims[i], count))
			return refuse(r, "a shape is negative or too large");
	}
	return TAMIS_OK;
}

/* The farthest connection of the view must lie in the weight. */
static bool view_fits(const struct linear_view *v, int64_t entries)
{
	int64_t channels = v->fan_in / v->inner, a, b, c, end;

	return tm_mul(v->groups - 1, v->stride_group, &a) && tm_mul(v->outs / v->groups - 1, v->stride_out, &b)
	       && tm_mul(channels - 1, v->stride_channel, &c) && tm_add(a, b, &end) && tm_add(end, c, &end)
	       && tm_add(end, v->inner, &end) && end <= entries;
}

static enum tamis_status read_view(struct reading *r, const Tamis__ScoreView *m, struct layer *l)
{
	struct linear_view *v = &l->view;
	int64_t connections;

	if (!m)
		return refuse(r, "a layer has no view of its weight");
	*v = (struct linear_view){ .weight = 1, .bias = GRAPH_NONE, .groups = m->groups, .fan_in = m->fan_in, .outs = m->outs,
		.inner = m->inner, .stride_group = m->stride_group, .stride_out = m->stride_out,
		.stride_channel = m->stride_channel, .weight_scale = m->weight_scale, .bias_scale = 1 };
	if (v->groups < 1 || v->fan_in < 1 || v->outs < 1 || v->inner < 1 || v->outs % v->groups || v->fan_in % v->inner
	    || v->stride_group < 0 || v->stride_out < 0 || v->stride_channel < 0 || !isfinite(v->weight_scale)
	    || !tm_mul(v->groups, v->fan_in, &l->features) || !tm_mul(v->outs, v->fan_in, &connections)
	    || connections != l->entries || !view_fits(v, l->entries))
		return refuse(r, "the view of a weight does not fit its shape");
	return TAMIS_OK;
}

/* ---- exact sums and moments ------------------------------------------------------------------------------------ */

static enum tamis_status read_exact(struct reading *r, const Tamis__ScoreExactSums *m, struct exact_sums *s)
{
	int64_t all;

	if (!m || (int)m->digits != s->digits || m->top < EXACT_SUMS_LOWEST || m->top > EXACT_SUMS_HIGHEST
	    || !tm_mul(s->n, (int64_t)s->digits, &all) || m->n_digit != (size_t)all)
		return refuse(r, "exact sums do not have the shape they should");
	s->top = m->top;
	if (all)
		memcpy(s->digit, m->digit, (size_t)all * sizeof *s->digit);
	for (size_t i = 0; i < m->n_broken; i++) {
		if (m->broken[i] < 0 || m->broken[i] >= s->n)
			return refuse(r, "an index of exact sums is out of range");
		s->broken[m->broken[i]] = 1;
	}
	return TAMIS_OK;
}

static enum tamis_status read_moment(struct reading *r, const Tamis__ScoreSums *m, int64_t features, struct comoment *c)
{
	const Tamis__ScoreCoMoment *from = m->moment;
	size_t d = (size_t)features, lanes = (size_t)comoment_lanes(features), rows = lanes * m->width, psi = m->r;
	size_t pairs = (size_t)m->width * (m->width + 1) / 2 * lanes;

	if (!from || m->width < 1 || m->width > COMOMENT_MAX_WIDTH || psi < 1 || psi > MAX_R || !is_count(from->items)
	    || from->n_shift != d * m->width || from->n_scale != d || from->n_psi_shift != psi || from->n_sum != rows
	    || from->n_sum_psi != psi || from->n_cross != rows * psi || from->n_within != pairs)
		return refuse(r, "co-moments do not have the shape they should");
	if (comoment_create(c, features, (int)m->width, (int)psi, r->err) != TAMIS_OK)
		return no_memory(r);
	c->n = from->items;
	c->pivoted = from->pivoted;
	c->psi_scale = from->psi_scale;
	memcpy(c->shift, from->shift, from->n_shift * sizeof *c->shift);
	memcpy(c->scale, from->scale, d * sizeof *c->scale);
	memcpy(c->psi_shift, from->psi_shift, psi * sizeof *c->psi_shift);
	memcpy(c->sum, from->sum, rows * sizeof *c->sum);
	memcpy(c->sum_psi, from->sum_psi, psi * sizeof *c->sum_psi);
	memcpy(c->cross, from->cross, rows * psi * sizeof *c->cross);
	memcpy(c->within, from->within, pairs * sizeof *c->within);
	return TAMIS_OK;
}

/* Classes within groups, each member naming the first. */
static enum tamis_status read_copies(struct reading *r, const Tamis__ScoreLayer *m, const struct layer *l, struct copies *c)
{
	size_t n = m->n_copy_of;

	if (n && n != (size_t)l->features)
		return refuse(r, "a list of copies does not fit its layer");
	if (!n)
		return TAMIS_OK;
	c->n = l->features;
	c->first = copy(r, m->copy_of, n, sizeof *c->first);
	c->size = arena_array(&r->out->arena, n, sizeof *c->size);
	c->tolerance = arena_array(&r->out->arena, n, sizeof *c->tolerance);
	if (!c->first || !c->size || !c->tolerance)
		return no_memory(r);
	for (int64_t i = 0; i < c->n; i++) {
		int64_t first = c->first[i];

		if (first < 0 || first > i || c->first[first] != first || first / l->view.fan_in != i / l->view.fan_in)
			return refuse(r, "a list of copies is none");
		c->size[first]++;
	}
	for (int64_t i = 0; i < c->n; i++)
		c->size[i] = c->size[c->first[i]];
	return TAMIS_OK;
}

/* Whether a layer has covariances, and how many entries the lower triangles of its groups have. */
static bool covariances_fit(const struct layer *l, int64_t *triangles)
{
	int64_t d = l->view.fan_in, all = 0;
	bool fit = d <= SCORE_MAX_COVARIANCE && tm_mul(l->features, d + 1, &all);

	*triangles = all / 2;
	return fit;
}

static unsigned sums_needs(const Tamis__ScoreSums *m)
{
	return (m->gradient2 ? SCORE_NEEDS_GRADIENT : 0u) | (m->energy ? SCORE_NEEDS_ENERGY : 0u)
	       | (m->products ? SCORE_NEEDS_COVARIANCE : 0u);
}

static enum tamis_status read_products(struct reading *r, const Tamis__ScoreSums *m, struct layer_sums *s)
{
	s->grid_rows = m->grid_rows;
	return !is_count(m->grid_rows) ? refuse(r, "a number of rows is none") : read_exact(r, m->products, &s->products);
}

static enum tamis_status read_sums(struct reading *r, const Tamis__ScoreLayer *m, const struct layer *l,
                                   struct layer_sums *s)
{
	const Tamis__ScoreSums *from = m->sums;
	int64_t triangles;
	enum tamis_status status;

	if (!from || !is_count(from->signals) || (from->n_signal_scale && from->n_signal_scale != (size_t)l->features)
	    || l->positions < 1 || m->tested_positions != signals_positions(l)
	    || from->width % m->tested_positions
	    || (from->products && (!covariances_fit(l, &triangles) || from->products->n_digit / 2 < (size_t)triangles)))
		return refuse(r, "a layer of a shard has no sums");
	*s = (struct layer_sums){ .features = l->features, .fan_in = l->view.fan_in, .outs = l->view.outs, .entries = l->entries,
		.positions = (int)m->tested_positions, .signals = from->signals, .reached = from->reached };
	status = layer_sums_create(s, sums_needs(from), r->err);
	if (status == TAMIS_OK)
		status = read_copies(r, m, l, &s->copies);
	if (status == TAMIS_OK)
		status = read_moment(r, from, l->features, &s->moment);
	if (status == TAMIS_OK)
		status = read_exact(r, from->mean, &s->mean);
	if (status == TAMIS_OK)
		status = read_exact(r, from->second, &s->second);
	if (status == TAMIS_OK)
		status = read_exact(r, from->gain, &s->gain);
	if (status == TAMIS_OK && from->gradient2)
		status = read_exact(r, from->gradient2, &s->gradient2);
	if (status == TAMIS_OK && from->energy)
		status = read_exact(r, from->energy, &s->energy);
	if (status == TAMIS_OK && from->products)
		status = read_products(r, from, s);
	if (status != TAMIS_OK || !from->n_signal_scale)
		return status;
	s->signal_scale = copy(r, from->signal_scale, from->n_signal_scale, sizeof *s->signal_scale);
	return s->signal_scale ? TAMIS_OK : no_memory(r);
}

static enum tamis_status read_psi(struct reading *r, const Tamis__ScoreOutputMoment *m, struct output_moment *psi)
{
	size_t n = m ? m->r : 0;

	if (n < 1 || n > MAX_R || !is_count(m->items) || m->n_shift != n || m->n_sum != n || m->n_second != n * n)
		return refuse(r, "the moments of the outputs do not have the shape they should");
	if (output_moment_create(psi, (int)n, r->err) != TAMIS_OK)
		return no_memory(r);
	psi->n = m->items;
	psi->pivoted = m->pivoted;
	psi->scale = m->scale;
	memcpy(psi->shift, m->shift, n * sizeof *psi->shift);
	memcpy(psi->sum, m->sum, n * sizeof *psi->sum);
	memcpy(psi->second, m->second, n * n * sizeof *psi->second);
	return TAMIS_OK;
}

/* ---- layers ------------------------------------------------------------------------------------------------- */

static enum tamis_status read_distribution(struct reading *r, const Tamis__ScoreDistribution *m, int64_t count,
                                           struct distribution *d)
{
	bool positive = m && m->has_low && m->low > 0 && m->high >= m->low && isfinite(m->high);

	if (!m || m->count != count || m->zeros < 0 || m->zeros > count || m->n_quantile != DISTRIBUTION_QUANTILES
	    || (m->n_bin != 0 && (m->n_bin != DISTRIBUTION_BINS || !positive)))
		return refuse(r, "a distribution is not one");
	*d = (struct distribution){ .count = count, .zeros = m->zeros };
	memcpy(d->quantile, m->quantile, sizeof d->quantile);
	if (!m->n_bin)
		return TAMIS_OK;
	d->low = m->low;
	d->high = m->high;
	for (int k = 0; k < DISTRIBUTION_BINS; k++) {
		if (m->bin[k] < 0 || m->bin[k] > count)
			return refuse(r, "a histogram counts more than there is");
		d->bin[k] = m->bin[k];
	}
	return TAMIS_OK;
}

/* From the lower triangles to full squares. */
static double *read_covariance(struct reading *r, const Tamis__ScoreLayer *m, const struct layer *l)
{
	int64_t d = l->view.fan_in;
	double *full = arena_array(&r->out->arena, (size_t)(l->features * d), sizeof *full);
	const double *from = m->covariance;

	for (int64_t i = 0; full && i < l->features; i++) {
		double *square = full + i / d * d * d;

		for (int64_t k = 0; k <= i % d; k++)
			square[i % d * d + k] = square[k * d + i % d] = *from++;
	}
	return full;
}

static enum tamis_status read_results(struct reading *r, const Tamis__ScoreLayer *m, const struct layer *l,
                                      struct scored_layer *x, struct layer_score *s)
{
	size_t d = (size_t)l->features;
	int64_t triangles;
	enum tamis_status status;

	if (m->n_mean != d || m->n_second != d || m->n_relevance != d || m->n_p != d || m->n_q != d
	    || m->n_gain != (size_t)l->view.outs || (m->n_gradient2 && m->n_gradient2 != (size_t)l->entries)
	    || (m->n_energy && m->n_energy != (size_t)l->entries)
	    || (m->n_covariance && (!covariances_fit(l, &triangles) || m->n_covariance != (size_t)triangles)))
		return refuse(r, "the statistics of a layer do not fit its shape");
	s->mean = copy(r, m->mean, d, sizeof(double));
	s->second = copy(r, m->second, d, sizeof(double));
	s->relevance = copy(r, m->relevance, d, sizeof(double));
	s->p = copy(r, m->p, d, sizeof(double));
	x->q = copy(r, m->q, d, sizeof(double));
	s->gain = copy(r, m->gain, m->n_gain, sizeof(double));
	s->gradient2 = m->n_gradient2 ? copy(r, m->gradient2, m->n_gradient2, sizeof(double)) : NULL;
	s->energy = m->n_energy ? copy(r, m->energy, m->n_energy, sizeof(double)) : NULL;
	s->covariance = m->n_covariance ? read_covariance(r, m, l) : NULL;
	s->blind = m->blind;
	if (!s->mean || !s->second || !s->relevance || !s->p || !x->q || !s->gain || (m->n_gradient2 && !s->gradient2)
	    || (m->n_energy && !s->energy) || (m->n_covariance && !s->covariance))
		return no_memory(r);
	status = read_copies(r, m, l, &s->copies);
	if (status != TAMIS_OK)
		return status;
	for (size_t i = 0; i < d; i++)
		if (!(s->p[i] >= 0 && s->p[i] <= 1) || !(x->q[i] >= 0 && x->q[i] <= 1))
			return refuse(r, "a p-value is not between 0 and 1");
	if (read_distribution(r, m->score, l->entries, &x->score) != TAMIS_OK)
		return TAMIS_E_INVALID;
	return read_distribution(r, m->p_value, l->features, &x->p);
}

static enum tamis_status read_names(struct reading *r, const Tamis__ScoreLayer *m, struct layer *l,
                                    struct scored_layer *x)
{
	x->node = copy_text(r, m->node);
	x->op = copy_text(r, m->op);
	x->weight = copy_text(r, m->weight);
	l->note = m->note ? copy_text(r, m->note) : NULL;
	if (!x->node || !x->op || !x->weight || (m->note && !l->note))
		return no_memory(r);
	r->layer = x->weight;
	l->positions = m->positions;
	l->macs = m->macs;
	l->bias = GRAPH_NONE;
	if (l->positions < 0)
		return refuse(r, "a number of positions is negative");
	return read_dims(r, m->dims, m->n_dims, &x->rank, x->dims, &l->entries);
}

static enum tamis_status read_layer(struct reading *r, const Tamis__ScoreLayer *m, int i)
{
	struct score_file *f = r->out;
	struct layer *l = &f->layers.list[i];
	struct scored_layer *x = &f->layer[i];
	enum tamis_status s;

	l->node = l->weight = i;
	s = read_names(r, m, l, x);
	if (s != TAMIS_OK)
		return s;
	if (f->shards)
		f->sums.layer[i].alone = l->note != NULL;
	if (l->note)
		return TAMIS_OK;
	if (m->n_w != (size_t)l->entries)
		return refuse(r, "a weight does not have as many entries as its shape");
	s = read_view(r, m->view, l);
	if (s != TAMIS_OK)
		return s;
	x->tested_positions = m->tested_positions;
	x->w = copy(r, m->w, m->n_w, sizeof *x->w);
	if (!x->w)
		return no_memory(r);
	return f->shards ? read_sums(r, m, l, &f->sums.layer[i]) : read_results(r, m, l, x, &f->scores.layer[i]);
}

static enum tamis_status read_parameter(struct reading *r, const Tamis__ScoreParameter *m, int k)
{
	struct scored_parameter *p = &r->out->parameter[k];
	enum tamis_status s;

	p->name = copy_text(r, m->name);
	if (!p->name)
		return no_memory(r);
	r->layer = p->name;
	s = read_dims(r, m->dims, m->n_dims, &p->rank, p->dims, &p->entries);
	if (s != TAMIS_OK)
		return s;
	if ((r->out->shards ? m->n_w : m->n_score) != (size_t)p->entries)
		return refuse(r, "an initializer does not have as many scores as entries");
	if (!r->out->shards) {
		p->score = copy(r, m->score, m->n_score, sizeof *p->score);
		return p->score ? TAMIS_OK : no_memory(r);
	}
	p->w = copy(r, m->w, m->n_w, sizeof *p->w);
	r->out->sums.parameter[k].value = k;
	s = p->w ? parameter_sums_create(&r->out->sums.parameter[k], p->entries, r->err) : no_memory(r);
	return s == TAMIS_OK ? read_exact(r, m->sum, &r->out->sums.parameter[k].sum) : s;
}

/* ---- origin ------------------------------------------------------------------------------------------------- */

static bool is_sha256(const char *s)
{
	return s && strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64;
}

static enum tamis_status read_head(struct reading *r, const Tamis__ScoreHead *m, struct head *h)
{
	if (!m || m->kind > HEAD_GENERAL || m->output > INT32_MAX || m->classes < 0 || m->rows < 1 || m->width < 1
	    || m->width > INT32_MAX || (m->kind != HEAD_GENERAL && m->classes < 2))
		return refuse(r, "it does not say what the outputs are");
	*h = (struct head){ .kind = (enum head_kind)m->kind, .output = (int)m->output, .classes = m->classes, .rows = m->rows,
		.width = m->width };
	return TAMIS_OK;
}

static enum tamis_status read_inputs(struct reading *r, const Tamis__ScoreOrigin *m, struct score_origin *o)
{
	enum tamis_status s = TAMIS_OK;
	int64_t count;

	o->n_inputs = (int)m->n_input;
	o->input = arena_array(&r->out->arena, m->n_input + 1, sizeof *o->input);
	if (!o->input)
		return no_memory(r);
	for (size_t i = 0; s == TAMIS_OK && i < m->n_input; i++) {
		o->input[i].name = copy_text(r, m->input[i]->name);
		o->input[i].type = m->input[i]->type;
		if (!o->input[i].name)
			return no_memory(r);
		s = dtype_known(o->input[i].type) ? read_dims(r, m->input[i]->dims, m->input[i]->n_dims, &o->input[i].rank,
		                                              o->input[i].dims, &count)
		                                  : refuse(r, "a graph input has an unknown type");
	}
	return s;
}

static enum tamis_status read_origin(struct reading *r, const Tamis__ScoreOrigin *m)
{
	struct score_origin *o = &r->out->origin;

	if (!m || !is_sha256(m->source_sha256) || (m->calibration_sha256 && !is_sha256(m->calibration_sha256))
	    || !(m->from >= 0 && m->from <= m->to && m->to <= 1) || !is_count(m->items) || m->chunk < 1
	    || !(m->alpha >= 0 && m->alpha <= 1) || m->fdr > FDR_BENJAMINI_YEKUTIELI)
		return refuse(r, "it does not say what it was made of");
	*o = (struct score_origin){ .source_sha256 = copy_text(r, m->source_sha256), .seed = m->seed, .from = m->from,
		.to = m->to, .chunk = m->chunk, .stacked = m->stacked, .random = m->random, .alpha = m->alpha,
		.fdr = (enum fdr_rule)m->fdr, .options = copy_text(r, m->options) };
	if (m->calibration_sha256)
		o->calibration_sha256 = copy_text(r, m->calibration_sha256);
	if (!o->source_sha256 || !o->options || (m->calibration_sha256 && !o->calibration_sha256))
		return no_memory(r);
	r->out->items = m->items;
	if (read_head(r, m->head, &o->head) != TAMIS_OK)
		return TAMIS_E_INVALID;
	return read_inputs(r, m, o);
}

/* ---- whole -------------------------------------------------------------------------------------------------- */

static enum tamis_status make_room(struct reading *r, const Tamis__ScoreFile *m)
{
	struct score_file *f = r->out;
	struct arena *a = &f->arena;

	f->layers.list = arena_array(&f->layers.arena, m->n_layer + 1, sizeof *f->layers.list);
	f->layer = arena_array(a, m->n_layer + 1, sizeof *f->layer);
	f->parameter = arena_array(a, m->n_parameter + 1, sizeof *f->parameter);
	f->scores.layer = arena_array(a, m->n_layer + 1, sizeof *f->scores.layer);
	f->sums.layer = arena_array(a, m->n_layer + 1, sizeof *f->sums.layer);
	f->sums.parameter = arena_array(a, m->n_parameter + 1, sizeof *f->sums.parameter);
	if (!f->layers.list || !f->layer || !f->parameter || !f->scores.layer || !f->sums.layer || !f->sums.parameter)
		return no_memory(r);
	f->layers.n = f->scores.n_layers = (int)m->n_layer;
	f->n_parameters = (int)m->n_parameter;
	f->scores.items = f->items;
	f->sums.n_layers = f->shards ? (int)m->n_layer : 0;
	f->sums.n_parameters = f->shards ? (int)m->n_parameter : 0;
	f->sums.items = f->shards ? f->items : 0;
	return TAMIS_OK;
}

static enum tamis_status read_head_of_file(struct reading *r, const Tamis__ScoreFile *m)
{
	if (!m->schema || strcmp(m->schema, "tamis.scores"))
		return tm_fail(r->err, TAMIS_E_INVALID, "the file is no score file");
	if (m->version != SCORE_FILE_VERSION)
		return tm_fail(r->err, TAMIS_E_INVALID, "the score file is of version %u, and version %d is read here", m->version,
		               SCORE_FILE_VERSION);
	if (m->shard && (m->shard->count < 1 || m->shard->count > MAX_SHARDS || m->shard->index < 1
	                 || m->shard->index > m->shard->count))
		return refuse(r, "it is no shard of a set");
	r->out->shard = m->shard ? (int)m->shard->index : 0;
	r->out->shards = m->shard ? (int)m->shard->count : 0;
	r->out->producer = copy_text(r, m->producer);
	return r->out->producer ? read_origin(r, m->origin) : no_memory(r);
}

static enum tamis_status read_all(struct reading *r, const Tamis__ScoreFile *m)
{
	enum tamis_status s = read_head_of_file(r, m);

	if (s == TAMIS_OK)
		s = make_room(r, m);
	if (s == TAMIS_OK && m->shard)
		s = read_psi(r, m->shard->psi, &r->out->sums.psi);
	for (size_t i = 0; s == TAMIS_OK && i < m->n_layer; i++)
		s = read_layer(r, m->layer[i], (int)i);
	for (size_t k = 0; s == TAMIS_OK && k < m->n_parameter; k++)
		s = read_parameter(r, m->parameter[k], (int)k);
	return s;
}

enum tamis_status score_file_unpack(const uint8_t *data, size_t size, struct score_file *out, struct tamis_error *err)
{
	struct reading r = { .out = out, .err = err };
	struct doc_memory memory;
	ProtobufCAllocator allocator;
	struct tamis_error why = { 0 };
	void *m = NULL;
	enum tamis_status s;

	allocator_init(&allocator, &memory, NULL);
	s = unpack_message(&tamis__score_file__descriptor, data, size, NULL, &allocator, &m, &why);
	if (s == TAMIS_E_INVALID)
		return tm_fail(err, s, "the file is damaged, or no score file: %s", why.message);
	if (s != TAMIS_OK)
		return tm_fail(err, s, "%s", why.message);
	s = read_all(&r, m);
	protobuf_c_message_free_unpacked(m, &allocator);
	return s;
}
