/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/gate.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "stat/interval.h"

#define BOOTSTRAP 2000 /* resamples behind the bound of a relative squared error */

struct gate_chunk {
	float *reference; /* NULL where the original runs along */
	int64_t floats, items;
	int64_t *item;
	double *sum;      /* of every output value over the items, until it is added to the gate's mean */
};

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "judging the cut");
}

static bool is_classes(const struct gate *g)
{
	return g->job.head->kind != HEAD_GENERAL;
}

static bool has_labels(const struct gate *g)
{
	return g->job.labels && is_classes(g);
}

const char *gate_kind(const struct gate *g)
{
	return has_labels(g) ? "accuracy loss (labels)" : is_classes(g) ? "expected accuracy loss"
	                                                                : "relative squared error";
}

/* ---- the original ------------------------------------------------------------------------------------------- */

struct opening { struct gate *gate; struct gate_chunk *slots; };

static enum tamis_status reference_work(void *ctx, struct runner *r, const struct chunk *c, int slot,
                                        struct tamis_error *err)
{
	struct opening *o = ctx;
	struct gate_chunk *k = &o->slots[slot];
	enum tamis_status s = runner_run(r, c->in, NULL, err);

	if (s != TAMIS_OK)
		return s;
	*k = (struct gate_chunk){ .items = c->items };
	k->floats = head_reference_size(o->gate->job.head, r, c->items);
	k->reference = tm_array_uninit((size_t)k->floats + 1, sizeof *k->reference);
	k->item = tm_array_uninit((size_t)c->items, sizeof *k->item);
	if (!k->reference || !k->item)
		return no_memory(err);
	memcpy(k->item, c->item, (size_t)c->items * sizeof *k->item);
	head_reference(o->gate->job.head, r, k->reference);
	if (is_classes(o->gate))
		return TAMIS_OK;
	k->sum = tm_array((size_t)(k->floats / k->items) + 1, sizeof *k->sum);
	if (!k->sum)
		return no_memory(err);
	head_sums(o->gate->job.head, r, c->items, k->sum);
	return TAMIS_OK;
}

/* The mean of every output value, for the energy that a squared error is relative to. */
static enum tamis_status add_to_mean(struct gate *g, const struct gate_chunk *k, struct tamis_error *err)
{
	int64_t each = k->floats / k->items;

	if (is_classes(g))
		return TAMIS_OK;
	if (!g->mean) {
		g->mean = tm_array((size_t)each + 1, sizeof *g->mean);
		g->n_mean = each;
		if (!g->mean)
			return no_memory(err);
	}
	if (each != g->n_mean)
		return TAMIS_OK; /* ragged outputs: the energy is taken about zero, see finish_mean */
	for (int64_t i = 0; i < each; i++)
		g->mean[i] += k->sum[i];
	return TAMIS_OK;
}

static enum tamis_status reference_merge(void *ctx, const struct chunk *c, int slot, struct tamis_error *err)
{
	struct opening *o = ctx;
	struct gate *g = o->gate;
	struct gate_chunk *k = &o->slots[slot];
	enum tamis_status s = add_to_mean(g, k, err);

	if (s != TAMIS_OK)
		return s;
	if (!tm_grow((void **)&g->chunks, &g->cap_chunks, (size_t)g->n_chunks + 1, sizeof *g->chunks))
		return no_memory(err);
	g->floats += k->floats;
	g->items += c->items;
	if (g->floats > (g->job.max_reference ? g->job.max_reference : GATE_MAX_REFERENCE)) {
		free(k->reference);
		k->reference = NULL;
		g->along = true;
	}
	free(k->sum);
	k->sum = NULL;
	g->chunks[g->n_chunks++] = *k;
	*k = (struct gate_chunk){ 0 };
	return g->job.progress ? g->job.progress(g->job.progress_ctx, g->items, err) : TAMIS_OK;
}

static bool select_item(void *ctx, int64_t item)
{
	const struct gate_job *j = &((struct opening *)ctx)->gate->job;

	return !j->select || j->select(j->select_ctx, item);
}

static enum tamis_status run_original(struct gate *g, struct tamis_error *err)
{
	int n = items_slots(g->job.pool);
	struct opening o = { g, tm_array((size_t)n, sizeof *o.slots) };
	struct items_job job = { .ctx = &o, .select = select_item, .work = reference_work,
		.merge = reference_merge, .slots = n };
	enum tamis_status s;

	if (!o.slots)
		return no_memory(err);
	s = items_run(g->program, g->job.reader, g->job.batching, g->job.chunk, g->job.pool, &job, err);
	for (int i = 0; i < n; i++) {
		free(o.slots[i].reference);
		free(o.slots[i].item);
		free(o.slots[i].sum);
	}
	free(o.slots);
	return s;
}

static void finish_mean(struct gate *g)
{
	bool ragged = false;

	for (int64_t i = 0; g->mean && i < g->n_chunks; i++)
		ragged |= g->chunks[i].floats / g->chunks[i].items != g->n_mean;
	if (ragged) {
		free(g->mean);
		g->mean = NULL;
	}
	for (int64_t i = 0; g->mean && i < g->n_mean; i++)
		g->mean[i] /= (double)g->items;
}

/* ---- the original's probabilities against labels ------------------------------------------------------------- */

static bool all_finite(const float *x, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		if (!isfinite(x[i]))
			return false;
	return true;
}

/* Probabilities and labels of the items that have one. Returns how many. */
static int64_t line_up_labels(const struct gate *g, float *prob, int64_t *labels)
{
	int64_t c = g->job.head->classes, n = 0;

	for (int64_t i = 0; i < g->n_chunks; i++)
		for (int64_t t = 0; t < g->chunks[i].items; t++) {
			int64_t item = g->chunks[i].item[t];
			const float *y = g->chunks[i].reference + t * c;

			if (item >= g->job.n_labels || g->job.labels[item] < 0 || g->job.labels[item] >= c || !all_finite(y, c))
				continue;
			if (g->job.head->kind == HEAD_LOGITS)
				softmax_rows(y, 1, c, 1, prob + n * c);
			else
				memcpy(prob + n * c, y, (size_t)c * sizeof *prob);
			labels[n++] = g->job.labels[item];
		}
	return n;
}

static enum tamis_status check_calibration(struct gate *g, struct tamis_error *err)
{
	int64_t c = g->job.head->classes, n;
	float *prob;
	int64_t *labels;
	enum tamis_status s = TAMIS_OK;

	g->temperature = g->calibration_error = NAN;
	if (!has_labels(g) || g->along || g->job.head->rows != 1 || g->floats != g->items * c)
		return TAMIS_OK;
	prob = tm_array_uninit((size_t)(g->items * c), sizeof *prob);
	labels = tm_array((size_t)g->items, sizeof *labels);
	n = prob && labels ? line_up_labels(g, prob, labels) : 0;
	if (!prob || !labels)
		s = no_memory(err);
	else if (n && expected_calibration_error(prob, labels, n, c, CALIBRATION_BINS, &g->calibration_error, NULL) == TAMIS_OK)
		temperature_fit(prob, labels, n, c, &g->temperature, NULL);
	free(prob);
	free(labels);
	return s;
}

enum tamis_status gate_open(const struct gate_job *job, struct gate *out, struct tamis_error *err)
{
	struct program_options options = { .merge_norms = true };
	enum tamis_status s;

	*out = (struct gate){ .job = *job };
	s = program_create(job->graph, &options, &out->program, err);
	if (s == TAMIS_OK)
		s = run_original(out, err);
	if (s == TAMIS_OK && !out->items)
		s = tm_fail(err, TAMIS_E_INVALID, "no calibration item is held out to judge the cut on");
	if (s == TAMIS_OK)
		s = check_calibration(out, err);
	if (s == TAMIS_OK)
		finish_mean(out);
	else
		gate_close(out);
	return s;
}

void gate_close(struct gate *g)
{
	for (int64_t i = 0; i < g->n_chunks; i++) {
		free(g->chunks[i].reference);
		free(g->chunks[i].item);
	}
	free(g->chunks);
	free(g->mean);
	program_free(g->program);
	*g = (struct gate){ 0 };
}

/* ---- judging ------------------------------------------------------------------------------------------------ */

struct judging {
	struct gate *gate;
	struct head_loss **slots; /* by slot: losses of its chunk */
	struct runner **along;    /* by worker: the original, where it runs along */
	float **reference;
	double *loss, *tempered;  /* by item judged */
	double temperature;       /* behind `tempered` */
	double expected;          /* sum of losses without labels */
	double energy, disagree, worst;
	int64_t disagreeing, done;
	int64_t worse, better, right, labelled;
};

static enum tamis_status run_along(struct judging *j, int slot, const struct chunk *c, const float **reference,
                                   struct tamis_error *err)
{
	const struct head *h = j->gate->job.head;
	enum tamis_status s = TAMIS_OK;

	if (!j->along[slot])
		s = runner_create(j->gate->program, &j->along[slot], err);
	if (s == TAMIS_OK)
		s = runner_run(j->along[slot], c->in, NULL, err);
	if (s != TAMIS_OK)
		return s;
	free(j->reference[slot]);
	j->reference[slot] = tm_array_uninit((size_t)head_reference_size(h, j->along[slot], c->items) + 1, sizeof(float));
	if (!j->reference[slot])
		return no_memory(err);
	head_reference(h, j->along[slot], j->reference[slot]);
	*reference = j->reference[slot];
	return TAMIS_OK;
}

static enum tamis_status judge_work(void *ctx, struct runner *r, const struct chunk *c, int slot,
                                    struct tamis_error *err)
{
	struct judging *j = ctx;
	const struct gate *g = j->gate;
	const struct gate_chunk *k = c->index < g->n_chunks ? &g->chunks[c->index] : NULL;
	const float *reference = k ? k->reference : NULL;
	enum tamis_status s = runner_run(r, c->in, NULL, err);

	if (s == TAMIS_OK && (!k || k->items != c->items))
		return tm_fail(err, TAMIS_E_INVALID, "the calibration data changed while they were read");
	if (s == TAMIS_OK && !reference)
		s = run_along(j, slot, c, &reference, err);
	if (s == TAMIS_OK && head_reference_size(g->job.head, r, c->items) != k->floats)
		s = tm_fail(err, TAMIS_E_INTERNAL, "the cut changed the shape of an output");
	if (s == TAMIS_OK)
		s = head_compare(g->job.head, reference, r, c->items, j->temperature, g->mean,
		                 j->slots[slot], err);
	return s;
}

static void count_label(struct judging *j, int64_t item, const struct head_loss *l, double *loss)
{
	const struct gate_job *job = &j->gate->job;
	bool before, after;

	if (item >= job->n_labels || l->before < 0)
		return;
	before = l->before == job->labels[item];
	after = l->after == job->labels[item];
	j->worse += before && !after;
	j->better += after && !before;
	j->right += before;
	j->labelled++;
	*loss = before - after;
}

static enum tamis_status judge_merge(void *ctx, const struct chunk *c, int slot, struct tamis_error *err)
{
	struct judging *j = ctx;
	const struct gate_job *job = &j->gate->job;

	for (int64_t i = 0; i < c->items; i++) {
		const struct head_loss *l = &j->slots[slot][i];
		double loss = l->loss;

		if (has_labels(j->gate))
			count_label(j, c->item[i], l, &loss);
		j->expected += l->loss;
		j->tempered[j->done] = l->tempered;
		j->loss[j->done++] = loss;
		j->energy += l->energy;
		j->disagree += isnan(l->disagree) ? 0 : l->disagree;
		j->disagreeing += l->disagree > 0;
		j->worst = loss > j->worst ? loss : j->worst;
	}
	return job->progress ? job->progress(job->progress_ctx, j->done, err) : TAMIS_OK;
}

static enum tamis_status make_slots(struct judging *j, int slots, struct tamis_error *err)
{
	int64_t most = 1;

	for (int64_t i = 0; i < j->gate->n_chunks; i++)
		most = j->gate->chunks[i].items > most ? j->gate->chunks[i].items : most;
	j->slots = tm_array((size_t)slots, sizeof *j->slots);
	j->along = tm_array((size_t)slots, sizeof *j->along);
	j->reference = tm_array((size_t)slots, sizeof *j->reference);
	j->loss = tm_array((size_t)j->gate->items, sizeof *j->loss);
	j->tempered = tm_array((size_t)j->gate->items, sizeof *j->tempered);
	if (!j->slots || !j->along || !j->reference || !j->loss || !j->tempered)
		return no_memory(err);
	for (int i = 0; i < slots; i++) {
		j->slots[i] = tm_array((size_t)most, sizeof **j->slots);
		if (!j->slots[i])
			return no_memory(err);
	}
	return TAMIS_OK;
}

static void free_slots(struct judging *j, int slots)
{
	for (int i = 0; i < slots; i++) {
		if (j->slots)
			free(j->slots[i]);
		if (j->along)
			runner_free(j->along[i]);
		if (j->reference)
			free(j->reference[i]);
	}
	free(j->slots);
	free(j->along);
	free(j->reference);
	free(j->loss);
	free(j->tempered);
}

/* Losses with sign (labels) are mapped to [0, 1] for the bound. */
static enum tamis_status bound_of_labels(const struct judging *j, double alpha, double *bound, struct tamis_error *err)
{
	enum tamis_status s;

	for (int64_t i = 0; i < j->done; i++)
		j->loss[i] = (1 + j->loss[i]) / 2;
	s = betting_upper(j->loss, j->done, alpha, bound, err);
	*bound = 2 * *bound - 1;
	return s;
}

static enum tamis_status bound_of_errors(struct judging *j, double alpha, struct gate_result *out,
                                         struct tamis_error *err)
{
	double each = j->energy / (double)j->done;

	for (int64_t i = 0; i < j->done; i++)
		j->loss[i] = j->loss[i] == 0 ? 0 : each > 0 ? j->loss[i] / each : INFINITY;
	out->worst = each > 0 ? j->worst / each : j->worst;
	out->value = 0;
	for (int64_t i = 0; i < j->done; i++)
		out->value += j->loss[i] / (double)j->done;
	out->bound = INFINITY;
	if (!isfinite(out->value))
		return TAMIS_OK;
	return bootstrap_upper(j->loss, j->done, alpha, BOOTSTRAP, j->gate->job.seed, &out->bound, err);
}

static double mean_of(const double *x, int64_t n)
{
	double sum = 0;

	for (int64_t i = 0; i < n; i++)
		sum += x[i] / (double)n;
	return sum;
}

/* A temperature above 1 lowers the estimate, and the gate stays as strict as without it: the larger bound counts. */
static enum tamis_status bound_of_classes(const struct judging *j, double alpha, struct gate_result *out,
                                          struct tamis_error *err)
{
	enum tamis_status s = betting_upper(j->loss, j->done, alpha, &out->bound, err);
	double tempered;

	if (s != TAMIS_OK || !(j->gate->job.temperature > 0))
		return s;
	s = betting_upper(j->tempered, j->done, alpha, &tempered, err);
	if (s == TAMIS_OK && tempered > out->bound) {
		out->bound = tempered;
		out->value = out->tempered;
	}
	return s;
}

/* ---- what can be shown at all ---------------------------------------------------------------------------------- */

/* Of n items none of which lost anything. */
static enum tamis_status least_bound(const struct gate *g, int64_t n, double alpha, double *bound, struct tamis_error *err)
{
	struct judging j = { .loss = tm_array((size_t)n + 1, sizeof *j.loss), .done = n };
	enum tamis_status s = TAMIS_OK;

	*bound = 0;
	if (!j.loss)
		s = no_memory(err);
	else if (has_labels(g))
		s = bound_of_labels(&j, alpha, bound, err);
	else if (is_classes(g))
		s = betting_upper(j.loss, n, alpha, bound, err);
	free(j.loss);
	return s;
}

static enum tamis_status could_pass(const struct gate *g, int64_t n, double alpha, bool *yes, struct tamis_error *err)
{
	double bound, most = g->job.max_disagree;
	enum tamis_status s = least_bound(g, n, alpha, &bound, err);

	*yes = bound <= g->job.tolerance && !(is_classes(g) && most >= 0 && clopper_pearson_upper(0, n, alpha) > most);
	return s;
}

enum tamis_status gate_needs(const struct gate *g, double alpha, int64_t *items, double *least, struct tamis_error *err)
{
	int64_t few = 0, enough = 1;
	bool yes = !is_classes(g);
	enum tamis_status s = least_bound(g, g->items, alpha, least, err);

	while (s == TAMIS_OK && !yes && enough < GATE_MOST_ITEMS) {
		few = enough;
		enough *= 2;
		s = could_pass(g, enough, alpha, &yes, err);
	}
	while (s == TAMIS_OK && yes && enough - few > 1) {
		int64_t mid = few + (enough - few) / 2;

		s = could_pass(g, mid, alpha, &yes, err);
		*(yes ? &enough : &few) = mid;
		yes = true;
	}
	*items = is_classes(g) ? enough : 0;
	return s;
}

/* The temperature that was given, else the one that the labels tell; 1 where nobody knows. */
static double temperature_of(const struct gate *g)
{
	return g->job.temperature > 0 ? g->job.temperature : isnan(g->temperature) ? 1 : g->temperature;
}

static enum tamis_status sum_up(struct judging *j, double alpha, struct gate_result *out, struct tamis_error *err)
{
	const struct gate_job *job = &j->gate->job;
	double n = (double)j->done;
	enum tamis_status s;

	*out = (struct gate_result){ .expected = NAN, .tempered = NAN, .disagree = NAN, .disagree_upper = NAN,
		.label_p = NAN, .accuracy_before = NAN, .accuracy_after = NAN, .worst = j->worst, .worse = j->worse,
		.better = j->better };
	out->value = mean_of(j->loss, j->done);
	if (!is_classes(j->gate)) {
		s = bound_of_errors(j, alpha, out, err);
	} else {
		out->expected = j->expected / n;
		if (job->temperature > 0 || !isnan(j->gate->temperature))
			out->tempered = mean_of(j->tempered, j->done);
		out->disagree = j->disagree / n;
		out->disagree_upper = clopper_pearson_upper(j->disagreeing, j->done, alpha);
		s = has_labels(j->gate) ? bound_of_labels(j, alpha, &out->bound, err) : bound_of_classes(j, alpha, out, err);
	}
	if (has_labels(j->gate) && j->labelled) {
		out->label_p = mcnemar_p(j->worse, j->better);
		out->accuracy_before = (double)j->right / (double)j->labelled;
		out->accuracy_after = (double)(j->right - j->worse + j->better) / (double)j->labelled;
	}
	out->passed = out->bound <= job->tolerance
		&& !(job->max_disagree >= 0 && out->disagree_upper > job->max_disagree);
	return s;
}

static double share_of(double bound, double most)
{
	return bound <= 0 ? 0 : bound / most;
}

double gate_spent(const struct gate *g, const struct gate_result *r)
{
	double loss = share_of(r->bound, g->job.tolerance);

	return g->job.max_disagree < 0 || !is_classes(g) ? loss : fmax(loss, share_of(r->disagree_upper, g->job.max_disagree));
}

static bool select_judged(void *ctx, int64_t item)
{
	const struct gate_job *j = &((struct judging *)ctx)->gate->job;

	return !j->select || j->select(j->select_ctx, item);
}

enum tamis_status gate_judge(struct gate *g, const struct graph *other, double alpha, struct gate_result *out,
                             struct tamis_error *err)
{
	struct program_options options = { .merge_norms = true };
	struct judging j = { .gate = g, .temperature = temperature_of(g) };
	int slots = g->along ? pool_size(g->job.pool) : items_slots(g->job.pool); /* along: a runner of the original each */
	struct items_job job = { .ctx = &j, .select = select_judged, .work = judge_work, .merge = judge_merge, .slots = slots };
	struct program *p = NULL;
	enum tamis_status s = program_create(other, &options, &p, err);

	if (s == TAMIS_OK)
		s = make_slots(&j, slots, err);
	if (s == TAMIS_OK)
		s = items_run(p, g->job.reader, g->job.batching, g->job.chunk, g->job.pool, &job, err);
	if (s == TAMIS_OK)
		s = sum_up(&j, alpha, out, err);
	free_slots(&j, slots);
	program_free(p);
	return s;
}

/* All of these bounds go with log(1 / alpha) / items. */
enum tamis_status gate_guess(struct gate *guess, const struct gate *gate, const struct graph *other, double alpha,
                             struct gate_result *out, struct tamis_error *err)
{
	double share = (double)guess->items / (double)gate->items;

	return gate_judge(guess, other, fmax(pow(alpha, share), DBL_MIN), out, err);
}
