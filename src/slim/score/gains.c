/* SPDX-License-Identifier: Apache-2.0 */
/* What scoring takes from a gradient: squares, summed over positions or kept. */
#include "base/loop.h"
#include "slim/score/score_state.h"

enum { LANES = 8 }; /* partial sums side by side, so that they are vectors; their number fixes the order */

LOOP_VERSIONS
static double square_sum(const float *x, int64_t n)
{
	double part[LANES] = { 0 }, sum = 0;
	int64_t i = 0;

	for (; i + LANES <= n; i += LANES)
		for (int k = 0; k < LANES; k++)
			part[k] += (double)x[i + k] * x[i + k];
	for (; i < n; i++)
		sum += (double)x[i] * x[i];
	for (int k = 0; k < LANES; k++)
		sum += part[k];
	return sum;
}

LOOP_VERSIONS
static void add_square_row(const float *x, int64_t n, double *restrict to)
{
	for (int64_t i = 0; i < n; i++)
		to[i] += (double)x[i] * x[i];
}

/* outer x outs x inner */
static void add_floats(const float *x, int64_t outer, int64_t outs, int64_t inner, double *gain)
{
	for (int64_t a = 0; a < outer; a++)
		if (inner == 1)
			add_square_row(x + a * outs, outs, gain);
		else
			for (int64_t o = 0; o < outs; o++)
				gain[o] += square_sum(x + (a * outs + o) * inner, inner);
}

void gains_add(const struct layer *l, const struct tensor *g, double *gain)
{
	int axis = l->view.out_axis < 0 ? l->view.out_axis + g->rank : l->view.out_axis;
	int64_t outer = tensor_extent(g, 0, axis), inner = tensor_extent(g, axis + 1, g->rank), outs = g->dims[axis];
	const double *d = g->data;

	if (g->type == DT_FLOAT)
		add_floats(g->data, outer, outs, inner, gain);
	else
		for (int64_t i = 0; i < g->count; i++)
			gain[i / inner % outs] += d[i] * d[i];
}

void gains_square(const struct tensor *g, float *to)
{
	const float *f = g->data;
	const double *d = g->data;

	if (g->type == DT_FLOAT)
		for (int64_t i = 0; i < g->count; i++)
			to[i] += f[i] * f[i];
	else
		for (int64_t i = 0; i < g->count; i++)
			to[i] += (float)(d[i] * d[i]);
}
