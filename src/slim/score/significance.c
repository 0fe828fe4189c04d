/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/score/significance.h"

#include <stdlib.h>
#include <string.h>

#include "slim/score/score_state.h"
#include "stat/dependence.h"

static int64_t count_tests(const struct layers *l)
{
	int64_t n = 0;

	for (int i = 0; i < l->n; i++)
		n += l->list[i].note ? 0 : l->list[i].features;
	return n;
}

static void line_up(const struct layers *l, const struct scores *s, double *p)
{
	for (int i = 0; i < l->n; i++)
		if (!l->list[i].note) {
			memcpy(p, s->layer[i].p, (size_t)l->list[i].features * sizeof *p);
			p += l->list[i].features;
		}
}

/* Layers point into one array each of the results. */
static void hand_out(const struct layers *l, double *p, double *q, unsigned char *rejected, struct significance *out)
{
	for (int i = 0; i < l->n; i++)
		if (!l->list[i].note) {
			out->feature[i] = rejected;
			out->p[i] = p;
			out->q[i] = q;
			p += l->list[i].features;
			rejected += l->list[i].features;
			q += l->list[i].features;
		}
}

/* The largest p-value that is rejected: the rule's own threshold for this many tests where none is. */
static enum tamis_status threshold(enum fdr_rule rule, const double *p, int64_t n, double alpha, unsigned char *rejected,
                                   double *out, struct tamis_error *err)
{
	int64_t count = 0;
	enum tamis_status s = fdr_adjust(rule, p, n, alpha, NULL, rejected, &count, err);

	*out = count || !n ? 0 : alpha / (double)n;
	for (int64_t i = 0; i < n; i++)
		*out = rejected[i] && p[i] > *out ? p[i] : *out;
	return s;
}

/* What the approximation might have put on the wrong side of the threshold. */
static enum tamis_status refine(const struct layers *l, const struct scores *s, double threshold, double *p,
                                int64_t *inverted, struct tamis_error *err)
{
	enum tamis_status status = TAMIS_OK;

	for (int i = 0; status == TAMIS_OK && i < l->n; i++) {
		if (l->list[i].note)
			continue;
		if (s->moment && s->moment[i].n)
			status = dependence_refine(&s->moment[i], &s->psi_moment, signals_positions(&l->list[i]),
			                           threshold / SIGNIFICANCE_BAND, threshold * SIGNIFICANCE_BAND, p, inverted, err);
		p += l->list[i].features;
	}
	return status;
}

enum tamis_status significance_find(const struct layers *l, const struct scores *s, enum fdr_rule rule, double alpha,
                                    struct significance *out, struct tamis_error *err)
{
	size_t n = (size_t)count_tests(l);
	enum tamis_status status;
	double *p, *q, near = 0;
	unsigned char *rejected;

	*out = (struct significance){ .tests = (int64_t)n };
	p = arena_array(&out->arena, n + 1, sizeof *p);
	q = arena_array(&out->arena, n + 1, sizeof *q);
	rejected = arena_array(&out->arena, n + 1, 1);
	out->feature = arena_array(&out->arena, (size_t)l->n + 1, sizeof *out->feature);
	out->p = arena_array(&out->arena, (size_t)l->n + 1, sizeof *out->p);
	out->q = arena_array(&out->arena, (size_t)l->n + 1, sizeof *out->q);
	if (!p || !q || !rejected || !out->feature || !out->p || !out->q)
		return tm_no_memory(err, "testing significance");
	line_up(l, s, p);
	hand_out(l, p, q, rejected, out);
	status = threshold(rule, p, (int64_t)n, alpha, rejected, &near, err);
	if (status == TAMIS_OK && alpha < 1)
		status = refine(l, s, near, p, &out->inverted, err);
	return status == TAMIS_OK ? fdr_adjust(rule, p, (int64_t)n, alpha, q, rejected, &out->significant, err) : status;
}

void significance_free(struct significance *s)
{
	arena_free(&s->arena);
	*s = (struct significance){ 0 };
}
