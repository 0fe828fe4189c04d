/* SPDX-License-Identifier: Apache-2.0 */
/* What a scoring pass holds, from shapes alone. */
#include "slim/score/score_state.h"

#define EXACT_BYTES(n, digits) ((double)(n) * (8 * (digits) + 1)) /* of struct exact_sums */
#define SQUARES 2 /* digits of sums of squares */

static double layer_moment(const struct pass *p, const struct layer *l)
{
	return (double)comoment_bytes(l->features, signals_width(p, l), FEATURES_DEFAULT);
}

/* Sums of one group, as struct partial. */
static double layer_partial(const struct score_job *j, const struct layer *l)
{
	double bytes = 17 * (double)l->features + 24 * (double)l->view.outs, e = (double)l->entries;

	bytes += j->needs & SCORE_NEEDS_GRADIENT ? 4 * e : 0;
	bytes += j->needs & SCORE_NEEDS_ENERGY ? 8 * e : 0;
	if (j->needs & SCORE_NEEDS_COVARIANCE && l->view.fan_in <= SCORE_MAX_COVARIANCE)
		bytes += 4 * (double)l->features * (double)(l->view.fan_in + 1);
	return bytes;
}

/* Exact sums of all items, as struct layer_sums, and the scores that they become. */
static double layer_sums(const struct score_job *j, const struct layer *l)
{
	double d = (double)l->features, o = (double)l->view.outs, e = (double)l->entries;
	double bytes = EXACT_BYTES(2 * d + o, EXACT_SUMS_DIGITS) + 64 * d + 8 * o;

	bytes += j->needs & SCORE_NEEDS_GRADIENT ? EXACT_BYTES(e, SQUARES) + 8 * e : 0;
	bytes += j->needs & SCORE_NEEDS_ENERGY ? EXACT_BYTES(e, SQUARES) + 8 * e : 0;
	if (j->needs & SCORE_NEEDS_COVARIANCE && l->view.fan_in <= SCORE_MAX_COVARIANCE)
		bytes += EXACT_BYTES(d * (double)(l->view.fan_in + 1), SQUARES) + 8 * d * (double)(l->view.fan_in + 1);
	return bytes;
}

/* Copies of the signals in a criterion's or the rich test's scratch. */
static double layer_scratch(const struct pass *p, const struct layer *l, double items)
{
	double rows = items * signals_positions(l), bytes = 0;

	if (p->job->rich)
		bytes += 4 * items * signals_width(p, l) * (double)l->features;
	if (p->job->needs & SCORE_NEEDS_ENERGY)
		bytes += 4 * rows * (double)(l->features + l->view.outs);
	return bytes;
}

struct score_bytes score_bytes(const struct score_job *j, int64_t width)
{
	struct score_bytes b = { 0 };
	struct pass p = { .job = j };
	double group = (double)score_group(j, SCORE_GROUP), largest = 0;

	for (int i = 0; i < j->layers->n; i++) {
		const struct layer *l = &j->layers->list[i];
		double scratch = l->note ? 0 : layer_scratch(&p, l, group);

		if (l->note)
			continue;
		b.moments += layer_moment(&p, l);
		b.partials += layer_partial(j, l);
		b.signals += 4 * group * signals_positions(l) * (double)l->features;
		b.sums += layer_sums(j, l);
		largest = scratch > largest ? scratch : largest;
	}
	b.signals += largest + 4 * group * (double)(width + FEATURES_DEFAULT);
	b.sums += 4 * (double)width * FEATURES_DEFAULT;
	for (int v = 0; j->parameters && v < j->graph->n_values; v++) {
		const struct value *x = &j->graph->values[v];
		double n = x->kind == VALUE_CONSTANT && dtype_is_float((int)x->constant.type) ? (double)x->constant.count : 0;

		b.partials += 4 * n;
		b.sums += EXACT_BYTES(n, SQUARES) + 8 * n;
	}
	return b;
}
