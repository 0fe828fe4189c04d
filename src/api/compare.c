/* SPDX-License-Identifier: Apache-2.0 */
/* Two models side by side over the same items. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "base/memory.h"
#include "slim/score/head.h"
#include "stat/interval.h"

#define TWO_SIDED 0.025 /* each side of a 95 % interval */

/* What one chunk has shown, kept in its slot until merge. */
struct part {
	struct runner *b;
	struct head_loss *loss;  /* by item of the chunk */
	float *reference;        /* of A's outputs */
	size_t cap_loss, cap_reference;
	double max_abs, largest, squares, energy;
};

struct comparing {
	const struct graph *a, *b;
	bool classes;
	struct head head;        /* of A, where it has classes */
	struct part *parts;      /* by slot */
	struct compare_figures *f;
	const int64_t *labels;
	int64_t n_labels, labelled, right_a, right_b;
	double loss, squares, energy, largest;
	struct api_watch watch;
};

/* ---- one chunk ----------------------------------------------------------------------------------------- */

static double element(const struct tensor *t, int64_t i)
{
	return t->type == DT_FLOAT ? (double)((const float *)t->data)[i] : tensor_get(t, i);
}

static void compare_elements(const struct tensor *a, const struct tensor *b, struct part *p)
{
	for (int64_t i = 0; i < a->count; i++) {
		double x = element(a, i), y = element(b, i), d = x == y || (isnan(x) && isnan(y)) ? 0 : fabs(x - y);

		if (isnan(d))
			d = INFINITY;
		p->max_abs = fmax(p->max_abs, d);
		p->largest = fmax(p->largest, fabs(x));
		p->squares += d * d;
		p->energy += isfinite(x) ? x * x : 0;
	}
}

static enum tamis_status compare_outputs(const struct comparing *c, const struct runner *a, struct part *p,
                                         struct tamis_error *err)
{
	char expected[128], came[128];

	p->max_abs = p->largest = p->squares = p->energy = 0;
	for (int i = 0; i < c->a->n_outputs; i++) {
		const struct tensor *x = runner_output(a, i), *y = runner_output(p->b, i);

		if (x->type != y->type || !tensor_same_shape(x, y)) {
			tm_fail(err, TAMIS_E_INVALID, "the first model gives %s, the second one %s",
			        tensor_describe(x, expected, sizeof expected), tensor_describe(y, came, sizeof came));
			return tm_in_tensor(err, c->a->values[c->a->outputs[i]].name);
		}
		if (dtype_is_float((int)x->type))
			compare_elements(x, y, p);
	}
	return TAMIS_OK;
}

static enum tamis_status compare_classes(const struct comparing *c, const struct runner *a, int64_t items,
                                         struct part *p, struct tamis_error *err)
{
	size_t floats = (size_t)head_reference_size(&c->head, a, items);
	void *loss = p->loss, *reference = p->reference;
	bool ok = tm_grow(&loss, &p->cap_loss, (size_t)items, sizeof *p->loss);

	p->loss = loss;
	ok = ok && tm_grow(&reference, &p->cap_reference, floats + 1, sizeof *p->reference);
	p->reference = reference;
	if (!ok)
		return tm_no_memory(err, "comparing outputs");
	head_reference(&c->head, a, p->reference);
	return head_compare(&c->head, p->reference, p->b, items, 1, NULL, p->loss, err);
}

static enum tamis_status work(void *ctx, struct runner *a, const struct chunk *chunk, int slot,
                              struct tamis_error *err)
{
	struct comparing *c = ctx;
	struct part *p = &c->parts[slot];
	enum tamis_status s = runner_run(a, chunk->in, NULL, err);

	if (s == TAMIS_OK)
		s = runner_run(p->b, chunk->in, NULL, err);
	if (s == TAMIS_OK)
		s = compare_outputs(c, a, p, err);
	return s == TAMIS_OK && c->classes ? compare_classes(c, a, chunk->items, p, err) : s;
}

/* ---- all of them --------------------------------------------------------------------------------------- */

static void count_label(struct comparing *c, const struct head_loss *l, int64_t item)
{
	bool a, b;

	if (!c->labels || item >= c->n_labels || l->before < 0)
		return;
	a = l->before == c->labels[item];
	b = l->after == c->labels[item];
	c->labelled++;
	c->right_a += a;
	c->right_b += b;
	c->f->only_a += a && !b;
	c->f->only_b += b && !a;
}

static enum tamis_status merge(void *ctx, const struct chunk *chunk, int slot, struct tamis_error *err)
{
	struct comparing *c = ctx;
	const struct part *p = &c->parts[slot];

	c->f->items += chunk->items;
	c->f->max_abs = fmax(c->f->max_abs, p->max_abs);
	c->largest = fmax(c->largest, p->largest);
	c->squares += p->squares;
	c->energy += p->energy;
	for (int64_t i = 0; c->classes && i < chunk->items; i++) {
		c->f->agree += !(p->loss[i].disagree > 0);
		c->loss += p->loss[i].loss;
		count_label(c, &p->loss[i], chunk->item[i]);
	}
	return api_watch_tell(&c->watch, c->f->items, err);
}

static void finish(struct comparing *c)
{
	struct compare_figures *f = c->f;

	f->max_rel = c->largest > 0 ? f->max_abs / c->largest : f->max_abs > 0 ? INFINITY : 0;
	f->relative_squared_error = c->energy > 0 ? c->squares / c->energy : c->squares > 0 ? INFINITY : 0;
	if (c->classes) {
		f->agree_lower = clopper_pearson_lower(f->agree, f->items, TWO_SIDED);
		f->agree_upper = clopper_pearson_upper(f->agree, f->items, TWO_SIDED);
		f->expected_loss = c->loss / (double)f->items;
	}
	if (c->labelled) {
		f->accuracy_a = (double)c->right_a / (double)c->labelled;
		f->accuracy_b = (double)c->right_b / (double)c->labelled;
		f->mcnemar_p = mcnemar_p(f->only_a, f->only_b);
	} else {
		f->only_a = f->only_b = -1;
	}
}

/* What the outputs are, from a run over the first item. Models whose outputs are no classes are compared by
 * values. */
static enum tamis_status find_classes(struct comparing *c, const struct program *p,
                                      struct feed_reader *reader, struct tamis_error *err)
{
	struct tamis_error ignored = { 0 };
	struct runner *r = NULL;
	struct batch b = { 0 };
	enum tamis_status s = reader->rewind(reader->self, err);

	if (s == TAMIS_OK)
		s = reader->next(reader->self, 1, &b, err);
	if (s == TAMIS_OK && !b.items)
		s = tm_fail(err, TAMIS_E_INVALID, "the data hold no item");
	if (s == TAMIS_OK)
		s = runner_create(p, &r, err);
	if (s == TAMIS_OK)
		s = runner_run(r, b.in, NULL, err);
	if (s == TAMIS_OK)
		c->classes = head_detect(c->a, r, 1, "auto", &c->head, &ignored) == TAMIS_OK
			&& c->head.kind != HEAD_GENERAL;
	runner_free(r);
	if (s == TAMIS_OK && ignored.status == TAMIS_E_MEMORY)
		return tm_no_memory(err, "comparing outputs");
	return s;
}

static enum tamis_status make_parts(struct comparing *c, const struct program *b, int n,
                                    struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;

	c->parts = tm_array((size_t)n, sizeof *c->parts);
	if (!c->parts)
		return tm_no_memory(err, "comparing outputs");
	for (int i = 0; s == TAMIS_OK && i < n; i++)
		s = runner_create(b, &c->parts[i].b, err);
	return s;
}

static void free_parts(struct comparing *c, int n)
{
	for (int i = 0; c->parts && i < n; i++) {
		runner_free(c->parts[i].b);
		free(c->parts[i].loss);
		free(c->parts[i].reference);
	}
	free(c->parts);
}

static enum tamis_status run_both(struct comparing *c, const struct program *a, const struct program *b,
                                  struct feed_reader *reader, struct pool *pool, struct tamis_error *err)
{
	const struct items_job job = { .ctx = c, .work = work, .merge = merge };
	enum batching of_a = BATCH_ONE, of_b = BATCH_ONE;
	int64_t chunk = 1;
	bool whole;
	enum tamis_status s = make_parts(c, b, pool_size(pool), err);

	if (s == TAMIS_OK)
		s = find_classes(c, a, reader, err);
	if (s == TAMIS_OK)
		s = api_chunk(a, reader, &chunk, &whole, err);
	if (s == TAMIS_OK)
		s = items_batching(a, reader, &of_a, err);
	if (s == TAMIS_OK)
		s = items_batching(b, reader, &of_b, err);
	if (s == TAMIS_OK) {
		c->f->items = c->f->only_a = c->f->only_b = 0;
		c->f->max_abs = 0;
		c->f->agree = c->classes ? 0 : -1;
		s = items_run(a, reader, of_a == of_b ? of_a : BATCH_ONE, chunk, pool, &job, err);
	}
	free_parts(c, pool_size(pool));
	if (s == TAMIS_OK)
		finish(c);
	return s;
}

static enum tamis_status same_outputs(const struct graph *a, const struct graph *b, struct tamis_error *err)
{
	if (a->n_outputs != b->n_outputs)
		return tm_fail(err, TAMIS_E_INVALID, "the first model has %d outputs, the second one %d",
		               a->n_outputs, b->n_outputs);
	for (int i = 0; i < a->n_outputs; i++)
		if (strcmp(a->values[a->outputs[i]].name, b->values[b->outputs[i]].name))
			return tm_fail(err, TAMIS_E_INVALID,
			               "output %d is '%.200s' in the first model, '%.200s' in the second", i,
			               a->values[a->outputs[i]].name, b->values[b->outputs[i]].name);
	return TAMIS_OK;
}

static enum tamis_status compare(struct comparing *c, struct tamis_model *a, struct tamis_model *b,
                                 struct tamis_calibration *data, const struct tamis_run_options *o,
                                 struct tamis_error *err)
{
	struct graph *ga = NULL, *gb = NULL;
	struct program *pa = NULL, *pb = NULL;
	struct api_limited limited;
	struct feed_reader reader = api_limit(&limited, &data->reader, o->items);
	struct pool *pool = NULL;
	enum tamis_status s = api_program(a, &ga, &pa, err);

	if (s == TAMIS_OK)
		s = api_program(b, &gb, &pb, err);
	if (s == TAMIS_OK)
		s = same_outputs(ga, gb, err);
	if (s == TAMIS_OK)
		s = pool_create(o->threads, &pool, err);
	c->a = ga;
	c->b = gb;
	api_watch_start(&c->watch, &o->observer, "compare", reader.count(reader.self));
	if (s == TAMIS_OK)
		s = run_both(c, pa, pb, &reader, pool, err);
	pool_destroy(pool);
	program_free(pa);
	program_free(pb);
	graph_free(ga);
	graph_free(gb);
	return s;
}

enum tamis_status tamis_compare(struct tamis_model *a, struct tamis_model *b, struct tamis_calibration *data,
                                const struct tamis_run_options *options, struct tamis_report **out,
                                struct tamis_error *err)
{
	struct tamis_error unheard;
	struct tamis_run_options o;
	struct comparing c = { 0 };
	struct tamis_report *r;
	enum tamis_status s;

	err = api_error(err, &unheard);
	if (!a || !b || !data || !out)
		return tm_fail(err, TAMIS_E_USAGE,
		               "two models, items and a place for the report were expected, and NULL came");
	*out = NULL;
	tamis_run_options_default(&o);
	if (options)
		o = *options;
	s = api_same_inputs(data, a, err);
	if (s == TAMIS_OK)
		s = api_same_inputs(data, b, err);
	if (s != TAMIS_OK)
		return s;
	r = report_create(REPORT_COMPARE);
	if (!r)
		return tm_no_memory(err, "comparing the models");
	c.f = &r->compare;
	if (!data->holdout.next) {
		c.labels = data->labels;
		c.n_labels = data->n_labels;
	}
	r->compare.a = arena_strdup(&r->arena, a->doc->path);
	r->compare.b = arena_strdup(&r->arena, b->doc->path);
	s = r->compare.a && r->compare.b ? compare(&c, a, b, data, &o, err)
	                                 : tm_no_memory(err, "comparing the models");
	if (s == TAMIS_OK)
		*out = r;
	else
		report_free(r);
	return s;
}
