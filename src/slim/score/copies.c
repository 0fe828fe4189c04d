/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/score/copies.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/loop.h"
#include "base/rng.h"

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "looking for copies");
}

static bool create(struct arena *a, int64_t n, struct copies *out)
{
	*out = (struct copies){ arena_array(a, (size_t)n, sizeof *out->first), arena_array(a, (size_t)n, sizeof *out->size),
		arena_array(a, (size_t)n, sizeof *out->tolerance), n };
	return out->first && out->size && out->tolerance;
}

static void count(struct copies *c)
{
	for (int64_t f = 0; f < c->n; f++)
		c->size[f] = 0;
	for (int64_t f = 0; f < c->n; f++)
		c->size[c->first[f]]++;
	for (int64_t f = 0; f < c->n; f++)
		c->size[f] = c->size[c->first[f]];
}

/* Leaves nothing where nothing has a copy. */
static void settle(struct copies *c)
{
	bool any = false;

	for (int64_t i = 0; i < c->n; i++)
		any |= c->first[i] != i;
	if (any)
		count(c);
	else
		*c = (struct copies){ 0 };
}

enum { HASHED = 16 }; /* entries of a row that its hash looks at */

/* ---- rows ------------------------------------------------------------------------------------------------------- */

static bool same_rows(const struct layer *l, const struct tensor *w, int64_t o, int64_t k)
{
	for (int64_t d = 0; d < l->view.fan_in; d++)
		if (tensor_get(w, layer_offset(&l->view, o, d)) != tensor_get(w, layer_offset(&l->view, k, d)))
			return false;
	return true;
}

static bool is_zero(const struct layer *l, const struct tensor *w, int64_t o)
{
	for (int64_t d = 0; d < l->view.fan_in; d++)
		if (tensor_get(w, layer_offset(&l->view, o, d)) != 0)
			return false;
	return true;
}

/* A hash of entries spread over the row, so that few rows are compared in full; 0 for a row of zeros. */
static uint64_t hash_of(const struct layer *l, const struct tensor *w, int64_t o)
{
	int64_t step = (l->view.fan_in + HASHED - 1) / HASHED;
	uint64_t hash = 1;
	bool any = false;

	for (int64_t d = 0; d < l->view.fan_in; d += step) {
		double x = tensor_get(w, layer_offset(&l->view, o, d)) + 0.0; /* -0 is 0 */
		uint64_t bits;

		memcpy(&bits, &x, sizeof bits);
		hash = rng_hash(hash, bits);
		any |= x != 0;
	}
	return any || !is_zero(l, w, o) ? hash | 1 : 0;
}

enum tamis_status copies_of_rows(const struct layer *l, const struct tensor *weight, struct arena *a, struct copies *out,
                                 struct tamis_error *err)
{
	int64_t per = l->view.outs / l->view.groups;
	uint64_t *hash = tm_array((size_t)l->view.outs + 1, sizeof *hash);
	bool made = create(a, l->view.outs, out) && hash;

	for (int64_t i = 0; made && i < out->n; i++) {
		hash[i] = hash_of(l, weight, i);
		out->first[i] = i;
		for (int64_t k = i - i % per; hash[i] && k < i && out->first[i] == i; k++)
			if (hash[k] == hash[i] && out->first[k] == k && same_rows(l, weight, k, i))
				out->first[i] = k;
	}
	free(hash);
	if (!made)
		return no_memory(err);
	settle(out);
	return TAMIS_OK;
}

/* ---- signals ---------------------------------------------------------------------------------------------------- */

static bool same_signals(const struct copies *c, const float *u, int64_t rows, int64_t f, int64_t k)
{
	for (int64_t i = 0; i < rows; i++, u += c->n)
		if (!(fabsf(u[f] - u[k]) <= c->tolerance[k]))
			return false;
	return true;
}

/* By feature, over rows. */
struct range { float *low, *high; double *mean; };

LOOP_VERSIONS
static void widen(const float *u, int64_t n, float *restrict low, float *restrict high, double *restrict mean)
{
	for (int64_t f = 0; f < n; f++) {
		low[f] = u[f] < low[f] ? u[f] : low[f];
		high[f] = u[f] > high[f] ? u[f] : high[f];
		mean[f] += (double)u[f];
	}
}

/* The tolerances of all features and their means; a tolerance is negative where a feature does not change. Row by row,
 * as signals lie in memory. */
static void measure(struct copies *c, const float *u, int64_t rows, const struct range *r)
{
	memcpy(r->low, u, (size_t)c->n * sizeof *u);
	memcpy(r->high, u, (size_t)c->n * sizeof *u);
	for (int64_t i = 0; i < rows; i++)
		widen(u + i * c->n, c->n, r->low, r->high, r->mean);
	for (int64_t f = 0; f < c->n; f++) {
		r->mean[f] /= (double)rows;
		c->tolerance[f] = COPIES_TOLERANCE * fmaxf(fabsf(r->low[f]), fabsf(r->high[f]));
		if (!(r->high[f] - r->low[f] > 2 * c->tolerance[f]))
			c->tolerance[f] = -1;
	}
}

/* A feature that changes. */
struct mean { double value; int64_t feature; };

static int by_value(const void *a, const void *b)
{
	const struct mean *x = a, *y = b;

	if (x->value != y->value)
		return x->value < y->value ? -1 : 1;
	return (x->feature > y->feature) - (x->feature < y->feature);
}

/* The least feature before the one at `at` that is no copy itself and that it is a copy of; itself where there is none.
 * Their means are no further apart than the tolerance of the earlier one, which is `widest` at most. */
static int64_t first_of(const struct copies *c, const float *u, int64_t rows, const struct mean *sorted, int64_t n,
                        int64_t at, double widest)
{
	int64_t f = sorted[at].feature, first = f;

	for (int step = -1; step <= 1; step += 2)
		for (int64_t i = at + step; i >= 0 && i < n; i += step) {
			int64_t k = sorted[i].feature;
			double apart = fabs(sorted[i].value - sorted[at].value);

			if (!(apart <= widest))
				break;
			if (k < first && c->first[k] == k && apart <= (double)c->tolerance[k] && same_signals(c, u, rows, f, k))
				first = k;
		}
	return first;
}

/* Features from..from + n - 1, one group. sorted: room for n. Until sizes are counted they hold places in it. */
static void find_copies(struct copies *c, const float *u, int64_t rows, const double *mean, int64_t from, int64_t n,
                        struct mean *sorted)
{
	int64_t count = 0;
	double widest = 0;

	for (int64_t f = from; f < from + n; f++) {
		c->first[f] = f;
		c->size[f] = -1;
		if (c->tolerance[f] < 0 || isnan(mean[f]))
			continue;
		widest = fmax(widest, (double)c->tolerance[f]);
		sorted[count++] = (struct mean){ mean[f], f };
	}
	qsort(sorted, (size_t)count, sizeof *sorted, by_value);
	for (int64_t i = 0; i < count; i++)
		c->size[sorted[i].feature] = i;
	for (int64_t f = from; f < from + n; f++)
		if (c->size[f] >= 0)
			c->first[f] = first_of(c, u, rows, sorted, count, c->size[f], widest);
}

enum tamis_status copies_of_signals(const struct layer *l, const float *u, int64_t rows, struct arena *a,
                                    struct copies *out, struct tamis_error *err)
{
	size_t n = (size_t)l->features + 1;
	struct range r = { tm_array_uninit(n, sizeof *r.low), tm_array_uninit(n, sizeof *r.high),
		tm_array(n, sizeof *r.mean) };
	struct mean *sorted = tm_array_uninit((size_t)l->view.fan_in, sizeof *sorted);
	bool made = create(a, l->features, out) && r.low && r.high && r.mean && sorted;

	if (made)
		measure(out, u, rows, &r);
	for (int64_t f = 0; made && f < out->n; f += l->view.fan_in)
		find_copies(out, u, rows, r.mean, f, l->view.fan_in, sorted);
	free(r.low);
	free(r.high);
	free(r.mean);
	free(sorted);
	if (!made)
		return no_memory(err);
	settle(out);
	return TAMIS_OK;
}

void copies_check(const struct copies *c, const float *u, int64_t rows, bool *broken)
{
	for (int64_t i = 0; c->first && i < rows; i++, u += c->n)
		for (int64_t f = 0; f < c->n; f++)
			broken[f] |= !(fabsf(u[f] - u[c->first[f]]) <= c->tolerance[c->first[f]]);
}

void copies_split(struct copies *c, const bool *broken)
{
	if (!c->first)
		return;
	for (int64_t f = 0; f < c->n; f++)
		c->first[f] = broken[f] ? f : c->first[f];
	count(c);
}

void copies_meet(struct copies *c, const struct copies *other)
{
	if (!c->first || !other->first) {
		*c = (struct copies){ 0 };
		return;
	}
	for (int64_t f = 0; f < c->n; f++)
		c->first[f] = c->first[f] == other->first[f] ? c->first[f] : f;
	count(c);
}

enum tamis_status copies_copy(const struct copies *c, struct arena *a, struct copies *out, struct tamis_error *err)
{
	size_t n = (size_t)c->n;

	*out = (struct copies){ 0 };
	if (!c->first)
		return TAMIS_OK;
	if (!create(a, c->n, out))
		return no_memory(err);
	memcpy(out->first, c->first, n * sizeof *out->first);
	memcpy(out->size, c->size, n * sizeof *out->size);
	memcpy(out->tolerance, c->tolerance, n * sizeof *out->tolerance);
	return TAMIS_OK;
}

void copies_add_gain(const struct copies *c, const struct layer *l, const struct tensor *delta, double *joint,
                     double *gain)
{
	int axis = l->view.out_axis < 0 ? l->view.out_axis + delta->rank : l->view.out_axis;
	int64_t outer = tensor_extent(delta, 0, axis), inner = tensor_extent(delta, axis + 1, delta->rank);
	double *all = joint + c->n; /* sums of magnitudes */

	for (int64_t k = 0; k < outer * inner; k++) {
		int64_t at = k / inner * c->n * inner + k % inner;

		memset(joint, 0, 2 * (size_t)c->n * sizeof *joint);
		for (int64_t o = 0; o < c->n; o++) {
			double d = tensor_get(delta, at + o * inner);

			joint[c->first[o]] += d;
			all[c->first[o]] += fabs(d);
		}
		for (int64_t o = 0; o < c->n; o++)
			if (fabs(joint[c->first[o]]) > (double)COPIES_TOLERANCE * all[c->first[o]])
				gain[o] += joint[c->first[o]] * joint[c->first[o]] / (double)c->size[o];
	}
}
