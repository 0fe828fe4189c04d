/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of a scoring pass that only some criteria need. Each group's are float products over the grid of positions that
 * the test looks at; groups add up exactly. */
#include <cblas.h>

#include "slim/score/score_state.h"

static bool reserve(struct pass *p, int64_t n, float **out)
{
	*out = n ? arena_array(&p->arena, (size_t)n, sizeof **out) : NULL;
	return *out || !n;
}

enum tamis_status needs_make_partial(struct pass *p, int layer, struct partial *a, struct tamis_error *err)
{
	const struct layer_sums *s = &p->sums->layer[layer];

	if (reserve(p, s->gradient2.n, &a->gradient2) && reserve(p, s->energy.n, &a->energy)
	    && reserve(p, s->energy.n ? s->fan_in * s->outs : 0, &a->block) && reserve(p, s->products.n, &a->products))
		return TAMIS_OK;
	return tm_no_memory(err, "scoring");
}

void needs_add_products(const struct layer *l, struct partial *a)
{
	int64_t d = l->view.fan_in, rows = a->items * signals_positions(l);
	float *sum = a->products ? a->products + l->features * d : NULL;
	const float *u = a->u;

	if (!sum)
		return;
	for (int64_t g = 0; g < l->view.groups; g++)
		cblas_ssyrk(CblasRowMajor, CblasLower, CblasTrans, (int)d, (int)rows, 1, u + g * d, (int)l->features, 0,
		            a->products + g * d * d, (int)d);
	for (int64_t f = 0; f < l->features; f++)
		sum[f] = 0;
	for (int64_t i = 0; i < rows; i++, u += l->features)
		for (int64_t f = 0; f < l->features; f++)
			sum[f] += u[f];
	a->grid_rows = rows;
}

/* Squares of the gradient at the grid: items x positions x outs. */
static void gather_squares(const struct layer *l, const struct tensor *g, int64_t items, float *delta)
{
	int axis = l->view.out_axis < 0 ? l->view.out_axis + g->rank : l->view.out_axis, n = signals_positions(l);
	int64_t inner = tensor_extent(g, axis + 1, g->rank), outs = l->view.outs, each = g->count / (items * outs);
	int64_t pos[SCORE_POSITIONS];

	signals_grid(n, each, pos);
	for (int64_t t = 0; t < items; t++)
		for (int k = 0; k < n; k++)
			for (int64_t o = 0; o < outs; o++) {
				int64_t row = t * (each / inner) + pos[k] / inner;
				double x = tensor_get(g, (row * outs + o) * inner + pos[k] % inner);

				*delta++ = (float)(x * x);
			}
}

static void add_block(const struct layer *l, const float *squares, const float *delta, int64_t rows, struct partial *a)
{
	int64_t d = l->view.fan_in, per = l->view.outs / l->view.groups;
	double scale = l->view.weight_scale * l->view.weight_scale * (double)l->positions / signals_positions(l);

	for (int64_t g = 0; g < l->view.groups; g++)
		cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)d, (int)per, (int)rows, (float)scale, squares + g * d,
		            (int)l->features, delta + g * per, (int)l->view.outs, 0, a->block + g * d * per, (int)per);
	for (int64_t o = 0; o < l->view.outs; o++)
		for (int64_t i = 0; i < d; i++)
			a->energy[layer_offset(&l->view, o, i)] += a->block[(o / per * d + i) * per + o % per];
}

enum tamis_status needs_add_energy(const struct layer *l, struct worker *w, struct partial *a, const struct tensor *gradient,
                                   int64_t items, struct tamis_error *err)
{
	int64_t rows = items * signals_positions(l), n = rows * l->features;
	const float *u = a->u + (a->items - items) * signals_positions(l) * l->features;
	enum tamis_status s;

	if (!a->energy || a->items < items)
		return TAMIS_OK;
	s = score_reserve(&w->squares, &w->squares_floats, (size_t)n, err);
	if (s == TAMIS_OK)
		s = score_reserve(&w->delta, &w->delta_floats, (size_t)(rows * l->view.outs), err);
	if (s != TAMIS_OK)
		return s;
	for (int64_t i = 0; i < n; i++)
		w->squares[i] = u[i] * u[i];
	gather_squares(l, gradient, items, w->delta);
	add_block(l, w->squares, w->delta, rows, a);
	return TAMIS_OK;
}

/* The gradient of a batch is the sum over its items. Probes of items are independent and have mean zero, so the
 * expected square of the sum is the sum of the items' squares. */
void needs_merge(const struct partial *a, struct layer_sums *to)
{
	if (to->gradient2.n)
		exact_sums_add_floats(&to->gradient2, a->gradient2);
	if (to->energy.n)
		exact_sums_add_floats(&to->energy, a->energy);
	if (to->products.n && a->grid_rows)
		exact_sums_add_floats(&to->products, a->products);
	to->grid_rows += a->grid_rows;
}
