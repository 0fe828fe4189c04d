/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/significance.h"

#include <stdlib.h>
#include <string.h>

#include "stat/fdr.h"

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
static void hand_out(const struct layers *l, double *q, unsigned char *rejected, struct significance *out)
{
	for (int i = 0; i < l->n; i++)
		if (!l->list[i].note) {
			out->feature[i] = rejected;
			out->q[i] = q;
			rejected += l->list[i].features;
			q += l->list[i].features;
		}
}

enum tamis_status significance_find(const struct layers *l, const struct scores *s, double alpha,
                                    struct significance *out, struct tamis_error *err)
{
	size_t n = (size_t)count_tests(l);
	double *q;
	unsigned char *rejected;

	*out = (struct significance){ .tests = (int64_t)n };
	q = arena_array(&out->arena, n + 1, sizeof *q);
	rejected = arena_array(&out->arena, n + 1, 1);
	out->feature = arena_array(&out->arena, (size_t)l->n + 1, sizeof *out->feature);
	out->q = arena_array(&out->arena, (size_t)l->n + 1, sizeof *out->q);
	if (!q || !rejected || !out->feature || !out->q)
		return tm_no_memory(err, "testing significance");
	line_up(l, s, q);
	hand_out(l, q, rejected, out);
	return fdr_adjust(FDR_BENJAMINI_HOCHBERG, q, (int64_t)n, alpha, q, rejected, &out->significant, err);
}

void significance_free(struct significance *s)
{
	arena_free(&s->arena);
	*s = (struct significance){ 0 };
}
