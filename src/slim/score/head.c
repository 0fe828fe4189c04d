/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/score/head.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/eight.h"
#include "base/loop.h"

#define LEAST 1e-12 /* probabilities are taken as no smaller where they are divided by */

static const struct node *producer(const struct graph *g, int value)
{
	return g->values[value].producer == GRAPH_NONE ? NULL : &g->nodes[g->values[value].producer];
}

/* The node that decides what an output means: Identity and Cast before it change nothing. */
static const struct node *last_node(const struct graph *g, int value)
{
	const struct node *n = producer(g, value);

	while (n && (!strcmp(n->op->name, "Identity") || !strcmp(n->op->name, "Cast")) && n->in[0] != GRAPH_NONE)
		n = producer(g, n->in[0]);
	return n;
}

/* ---- detection ---------------------------------------------------------------------------------------------- */

static bool rows_sum_to_one(const struct tensor *t, int64_t classes)
{
	if (t->count == 0)
		return false;
	for (int64_t i = 0; i < t->count; i += classes) {
		double sum = 0;

		for (int64_t k = 0; k < classes; k++) {
			double v = tensor_get(t, i + k);

			if (!(v >= -1e-6 && v <= 1 + 1e-6))
				return false;
			sum += v;
		}
		if (!(fabs(sum - 1) < 1e-3))
			return false;
	}
	return true;
}

static enum head_kind guess(const struct graph *g, int value, const struct tensor *t)
{
	const struct node *n = last_node(g, value);
	int64_t classes = t->rank >= 2 ? t->dims[t->rank - 1] : 0;

	if (classes < 2)
		return HEAD_GENERAL;
	if (rows_sum_to_one(t, classes))
		return HEAD_PROBABILITIES;
	if (n && !strcmp(n->op->name, "LogSoftmax"))
		return HEAD_LOGITS;
	return t->rank == 2 ? HEAD_LOGITS : HEAD_GENERAL;
}

static int float_outputs(const struct graph *g, const struct runner *r, int *first)
{
	int n = 0;

	for (int i = g->n_outputs - 1; i >= 0; i--)
		if (dtype_is_float((int)runner_output(r, i)->type)) {
			*first = i;
			n++;
		}
	return n;
}

static int64_t general_width(const struct graph *g, const struct runner *r, int64_t items)
{
	int64_t n = 0;

	for (int i = 0; i < g->n_outputs; i++)
		if (dtype_is_float((int)runner_output(r, i)->type))
			n += runner_output(r, i)->count / items;
	return n < HEAD_MAX_WIDTH ? n : HEAD_MAX_WIDTH;
}

static enum tamis_status class_head(struct head *h, const struct tensor *t, int64_t items, struct tamis_error *err)
{
	int64_t rows;

	h->classes = t->rank >= 1 ? t->dims[t->rank - 1] : 0;
	if (h->classes < 2 || t->count < items * h->classes)
		return tm_fail(err, TAMIS_E_UNSUPPORTED, "the output does not hold two classes or more on its last axis");
	rows = t->count / h->classes / items;
	h->rows = HEAD_MAX_WIDTH / h->classes > 0 ? HEAD_MAX_WIDTH / h->classes : 1;
	h->rows = rows < h->rows ? rows : h->rows;
	h->width = h->rows * h->classes;
	return TAMIS_OK;
}

enum tamis_status head_detect(const struct graph *g, const struct runner *r, int64_t items, const char *wanted,
                              struct head *out, struct tamis_error *err)
{
	int first = 0, n = float_outputs(g, r, &first);
	bool automatic = !wanted || !strcmp(wanted, "auto");

	*out = (struct head){ .kind = HEAD_GENERAL, .output = first, .rows = 1, .graph = g };
	if (!n)
		return tm_fail(err, TAMIS_E_UNSUPPORTED, "no graph output is of a float type, so nothing can be tested");
	if (automatic && n == 1)
		out->kind = guess(g, g->outputs[first], runner_output(r, first));
	else if (!automatic && strcmp(wanted, "general"))
		out->kind = !strcmp(wanted, "logits") ? HEAD_LOGITS : HEAD_PROBABILITIES;
	if (out->kind != HEAD_GENERAL)
		return class_head(out, runner_output(r, first), items, err);
	out->width = general_width(g, r, items);
	if (out->width < 1)
		return tm_fail(err, TAMIS_E_UNSUPPORTED, "the float outputs are empty");
	return TAMIS_OK;
}

/* ---- values ------------------------------------------------------------------------------------------------- */

static int64_t grid(int64_t k, int64_t of, int64_t extent)
{
	return extent == of ? k : (int64_t)(((double)k + 0.5) * (double)extent / (double)of);
}

static enum tamis_status class_values(const struct head *h, const struct runner *r, int64_t items, float *y,
                                      struct tamis_error *err)
{
	const struct tensor *t = runner_output(r, h->output);
	int64_t rows = t->count / h->classes / items;

	if (t->rank < 1 || t->dims[t->rank - 1] != h->classes || rows < 1)
		return tm_fail(err, TAMIS_E_INVALID, "the output has no row of %lld classes for some item",
		               (long long)h->classes);
	for (int64_t i = 0; i < items; i++)
		for (int64_t k = 0; k < h->rows; k++) {
			int64_t from = (i * rows + grid(k, h->rows, rows)) * h->classes;

			for (int64_t c = 0; c < h->classes; c++)
				*y++ = (float)tensor_get(t, from + c);
		}
	return TAMIS_OK;
}

/* Value k of item i among all float outputs, one after the other. */
static double general_value(const struct head *h, const struct runner *r, int64_t items, int64_t i, int64_t k)
{
	for (int o = 0; o < h->graph->n_outputs; o++) {
		const struct tensor *t = runner_output(r, o);
		int64_t each = t->count / items;

		if (!dtype_is_float((int)t->type))
			continue;
		if (k < each)
			return tensor_get(t, i * each + k);
		k -= each;
	}
	return 0;
}

static int64_t general_total(const struct head *h, const struct runner *r, int64_t items)
{
	int64_t n = 0;

	for (int o = 0; o < h->graph->n_outputs; o++)
		if (dtype_is_float((int)runner_output(r, o)->type))
			n += runner_output(r, o)->count / items;
	return n;
}

enum tamis_status head_values(const struct head *h, const struct runner *r, int64_t items, float *y,
                              struct tamis_error *err)
{
	int64_t total;

	if (h->kind != HEAD_GENERAL)
		return class_values(h, r, items, y, err);
	total = general_total(h, r, items);
	for (int64_t i = 0; i < items; i++)
		for (int64_t k = 0; k < h->width; k++)
			*y++ = (float)general_value(h, r, items, i, grid(k, h->width, total));
	return TAMIS_OK;
}

/* ---- seeds -------------------------------------------------------------------------------------------------- */

static void row_probabilities(const struct head *h, const struct tensor *t, int64_t at, double *p)
{
	double top = -INFINITY, sum = 0;

	for (int64_t c = 0; c < h->classes; c++) {
		p[c] = tensor_get(t, at + c);
		top = p[c] > top ? p[c] : top;
	}
	for (int64_t c = 0; c < h->classes; c++) {
		if (h->kind == HEAD_LOGITS)
			p[c] = exp(p[c] - top);
		sum += p[c];
	}
	for (int64_t c = 0; sum > 0 && c < h->classes; c++)
		p[c] /= sum;
}

LOOP_VERSIONS
static double sum_of(const float *x, int64_t n)
{
	four sum[2] = { 0 };
	int64_t c = 0;
	double rest = 0;

	for (; c + LANES <= n; c += LANES)
		for (int i = 0; i < 2; i++) {
			four_floats v;

			memcpy(&v, x + c + 4 * i, sizeof v);
			sum[i] += __builtin_convertvector(v, four);
		}
	for (; c < n; c++)
		rest += x[c];
	sum[0] += sum[1];
	return sum[0][0] + sum[0][1] + (sum[0][2] + sum[0][3]) + rest;
}

enum { SIGNS = 64 }; /* in a word of random bits */

struct signs { struct rng rng; uint64_t bits; int left; };

static double next_sign(struct signs *s)
{
	double sign;

	if (!s->left) {
		s->bits = rng_next(&s->rng);
		s->left = SIGNS;
	}
	sign = s->bits & 1 ? -1 : 1;
	s->bits >>= 1;
	s->left--;
	return sign;
}

/* The information of logits is diag(p) - p p' = A A' with A = diag(sqrt p) - p sqrt(p)'. */
static void seed_logits(const struct head *h, const double *p, struct signs *signs, float *out)
{
	double sum = 0;

	for (int64_t c = 0; c < h->classes; c++) {
		double root = p[c] > 0 ? sqrt(p[c]) * next_sign(signs) : 0;

		sum += root;
		out[c] = (float)root;
	}
	for (int64_t c = 0; c < h->classes; c++)
		out[c] -= (float)(p[c] * sum);
}

/* That of probabilities is diag(1 / p). */
static void seed_probabilities(const struct head *h, const double *p, struct signs *signs, float *out)
{
	for (int64_t c = 0; c < h->classes; c++)
		out[c] = (float)(next_sign(signs) / sqrt(fmax(p[c], LEAST)));
}

LOOP_VERSIONS
static void seed_part(const float *x, float scale, uint64_t bits, int64_t n, float *restrict out)
{
	for (int64_t c = 0; c < n; c++) {
		float p = x[c] * scale, root = sqrtf(p > (float)LEAST ? p : (float)LEAST);

		out[c] = (bits >> c & 1 ? -1.0f : 1.0f) / root;
	}
}

/* The same for floats: there may be thousands of classes. */
static void seed_floats(const struct head *h, const float *x, struct rng *g, float *out)
{
	float scale = (float)(1 / sum_of(x, h->classes));

	for (int64_t c = 0; c < h->classes; c += SIGNS)
		seed_part(x + c, scale, rng_next(g), h->classes - c < SIGNS ? h->classes - c : SIGNS, out + c);
}

static void seed_row(const struct head *h, const struct tensor *t, int64_t at, struct signs *signs, double *p, float *out)
{
	if (h->kind == HEAD_PROBABILITIES && t->type == DT_FLOAT) {
		seed_floats(h, (const float *)t->data + at, &signs->rng, out);
		return;
	}
	row_probabilities(h, t, at, p);
	(h->kind == HEAD_LOGITS ? seed_logits : seed_probabilities)(h, p, signs, out);
}

static enum tamis_status fresh_seed(const struct tensor *like, struct tensor *out, struct tamis_error *err)
{
	*out = *like;
	out->type = DT_FLOAT;
	out->data = NULL;
	return tensor_alloc(out, err);
}

static enum tamis_status seed_classes(const struct head *h, const struct runner *r, const int64_t *item,
                                      int64_t items, uint64_t seed, struct tensor *out, struct tamis_error *err)
{
	const struct tensor *t = runner_output(r, h->output);
	int64_t rows = t->count / h->classes / items;
	double *p = tm_array((size_t)h->classes, sizeof *p);
	enum tamis_status s = p ? fresh_seed(t, &out[h->output], err) : tm_no_memory(err, "drawing probes");

	for (int64_t i = 0; s == TAMIS_OK && i < items; i++) {
		struct signs signs = { .rng = rng_make(seed, (uint64_t)item[i]) };

		for (int64_t k = 0; k < rows; k++) {
			int64_t at = (i * rows + k) * h->classes;

			seed_row(h, t, at, &signs, p, (float *)out[h->output].data + at);
		}
	}
	free(p);
	return s;
}

static double scale_of(const struct head *h, const struct feature_map *map, int64_t k, int64_t total)
{
	int64_t at = (int64_t)((double)k * (double)h->width / (double)total);

	return map && map->scale ? map->scale[at < map->m ? at : map->m - 1] : 1;
}

static enum tamis_status seed_general(const struct head *h, const struct runner *r, const struct feature_map *map,
                                      const int64_t *item, int64_t items, uint64_t seed, struct tensor *out,
                                      struct tamis_error *err)
{
	int64_t total = general_total(h, r, items), before = 0;
	enum tamis_status s = TAMIS_OK;

	for (int o = 0; s == TAMIS_OK && o < h->graph->n_outputs; o++) {
		const struct tensor *t = runner_output(r, o);
		int64_t each = t->count / items;

		if (!dtype_is_float((int)t->type))
			continue;
		s = fresh_seed(t, &out[o], err);
		for (int64_t i = 0; s == TAMIS_OK && i < items; i++) {
			struct signs signs = { .rng = rng_make(seed + (uint64_t)o, (uint64_t)item[i]) };

			for (int64_t k = 0; k < each; k++)
				((float *)out[o].data)[i * each + k] =
					(float)(next_sign(&signs) * scale_of(h, map, before + k, total));
		}
		before += each;
	}
	return s;
}

enum tamis_status head_seed(const struct head *h, const struct runner *r, const struct feature_map *map,
                            const int64_t *item, int64_t items, uint64_t seed, struct tensor *out,
                            struct tamis_error *err)
{
	for (int o = 0; o < h->graph->n_outputs; o++)
		out[o] = (struct tensor){ .type = DT_UNDEFINED };
	if (h->kind == HEAD_GENERAL)
		return seed_general(h, r, map, item, items, seed, out, err);
	return seed_classes(h, r, item, items, seed, out, err);
}

/* ---- comparing ---------------------------------------------------------------------------------------------- */

int64_t head_reference_size(const struct head *h, const struct runner *r, int64_t items)
{
	int64_t n = 0;

	(void)items; /* outputs need not divide by them */
	if (h->kind != HEAD_GENERAL)
		return runner_output(r, h->output)->count;
	for (int o = 0; o < h->graph->n_outputs; o++)
		n += dtype_is_float((int)runner_output(r, o)->type) ? runner_output(r, o)->count : 0;
	return n;
}

static float *copy_floats(const struct tensor *t, float *out)
{
	if (t->type == DT_FLOAT)
		memcpy(out, t->data, (size_t)t->count * sizeof *out);
	else
		for (int64_t i = 0; i < t->count; i++)
			out[i] = (float)tensor_get(t, i);
	return out + t->count;
}

/* Classes: the output as it is. General: one float output after the other, each over all items. */
void head_reference(const struct head *h, const struct runner *r, float *out)
{
	for (int o = 0; o < h->graph->n_outputs; o++)
		if (h->kind == HEAD_GENERAL ? dtype_is_float((int)runner_output(r, o)->type) : o == h->output)
			out = copy_floats(runner_output(r, o), out);
}

void head_sums(const struct head *h, const struct runner *r, int64_t items, double *sum)
{
	for (int o = 0; o < h->graph->n_outputs; o++) {
		const struct tensor *t = runner_output(r, o);
		int64_t each = t->count / items;

		if (!dtype_is_float((int)t->type))
			continue;
		for (int64_t k = 0; k < each * items; k++)
			sum[k % each] += tensor_get(t, k);
		sum += each;
	}
}

static int64_t argmax_float(const float *x, int64_t n)
{
	int64_t best = 0;

	for (int64_t i = 1; i < n; i++)
		if (x[i] > x[best] || isnan(x[best]))
			best = i;
	return best;
}

static int64_t argmax_tensor(const struct tensor *t, int64_t at, int64_t n, bool *nan)
{
	int64_t best = 0;

	*nan = false;
	for (int64_t i = 0; i < n; i++) {
		double v = tensor_get(t, at + i);

		*nan |= isnan(v);
		if (v > tensor_get(t, at + best))
			best = i;
	}
	return best;
}

/* ln of the odds of class c against the likeliest. */
static double log_odds(const struct head *h, const float *x, int64_t c, int64_t top)
{
	return h->kind == HEAD_PROBABILITIES ? log(fmax(x[c], 1e-45) / fmax(x[top], 1e-45)) : (double)x[c] - x[top];
}

static double probability(const struct head *h, const float *x, int64_t c, int64_t top, double temperature)
{
	double sum = 0;

	if (h->kind == HEAD_PROBABILITIES && temperature == 1)
		return x[c];
	for (int64_t i = 0; i < h->classes; i++)
		sum += exp(log_odds(h, x, i, top) / temperature);
	return exp(log_odds(h, x, c, top) / temperature) / sum;
}

/* What it costs to say b instead of a, in [0, 1]. */
static double cost_of(const struct head *h, const float *x, int64_t a, int64_t b, double temperature)
{
	double loss = a == b ? 0 : probability(h, x, a, a, temperature) - probability(h, x, b, a, temperature);

	return fmin(1, fmax(0, loss));
}

static void compare_row(const struct head *h, const float *x, const struct tensor *t, int64_t at, double temperature,
                        struct head_loss *l)
{
	int64_t a = argmax_float(x, h->classes), b;
	bool nan;

	b = argmax_tensor(t, at, h->classes, &nan);
	l->loss += nan ? 1 : cost_of(h, x, a, b, 1);
	l->tempered += nan ? 1 : cost_of(h, x, a, b, temperature);
	l->disagree += nan || a != b;
	l->before = a;
	l->after = nan ? -1 : b;
}

static enum tamis_status compare_classes(const struct head *h, const float *x, const struct runner *r, int64_t items,
                                         double temperature, struct head_loss *out, struct tamis_error *err)
{
	const struct tensor *t = runner_output(r, h->output);
	int64_t rows = t->count / h->classes / items;

	if (rows < 1)
		return tm_fail(err, TAMIS_E_INVALID, "the output is empty for some item");
	for (int64_t i = 0; i < items; i++) {
		struct head_loss l = { 0 };

		for (int64_t k = 0; k < rows; k++)
			compare_row(h, x + (i * rows + k) * h->classes, t, (i * rows + k) * h->classes, temperature, &l);
		l.loss /= (double)rows;
		l.tempered /= (double)rows;
		l.disagree /= (double)rows;
		if (rows > 1)
			l.before = l.after = -1;
		out[i] = l;
	}
	return TAMIS_OK;
}

static void compare_general(const struct head *h, const float *x, const struct runner *r, int64_t items,
                            const double *mean, struct head_loss *out)
{
	int64_t before = 0;

	for (int64_t i = 0; i < items; i++)
		out[i] = (struct head_loss){ .disagree = NAN, .before = -1, .after = -1 };
	for (int o = 0; o < h->graph->n_outputs; o++) {
		const struct tensor *t = runner_output(r, o);
		int64_t each = t->count / items;

		if (!dtype_is_float((int)t->type))
			continue;
		for (int64_t k = 0; k < each * items; k++) {
			double y = x[k], d = tensor_get(t, k) - y, m = mean ? mean[before + k % each] : 0;
			struct head_loss *l = &out[k / each];

			l->loss += isnan(d) && !isnan(y) ? INFINITY : isnan(d) ? 0 : d * d;
			l->tempered = l->loss;
			l->energy += (y - m) * (y - m);
		}
		x += t->count;
		before += each;
	}
}

enum tamis_status head_compare(const struct head *h, const float *reference, const struct runner *r, int64_t items,
                               double temperature, const double *mean, struct head_loss *out, struct tamis_error *err)
{
	if (h->kind != HEAD_GENERAL)
		return compare_classes(h, reference, r, items, temperature, out, err);
	compare_general(h, reference, r, items, mean, out);
	return TAMIS_OK;
}
