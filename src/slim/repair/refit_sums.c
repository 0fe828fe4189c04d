/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/repair/refit_sums.h"

#include <stdlib.h>
#include <string.h>

#include "slim/repair/refit.h"

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "refitting");
}

enum tamis_status refit_sums_make(const struct layer *l, bool items, struct arena *arena, struct refit_sums *out,
                                  struct tamis_error *err)
{
	size_t d = (size_t)l->view.fan_in;

	*out = (struct refit_sums){ 0 };
	out->u = arena_array(arena, (size_t)l->features, sizeof *out->u);
	out->z = arena_array(arena, (size_t)l->view.outs, sizeof *out->z);
	if (!out->u || !out->z)
		return no_memory(err);
	if (items)
		return TAMIS_OK;
	out->uu = arena_array(arena, (size_t)l->features * d, sizeof *out->uu);
	out->uz = arena_array(arena, d * (size_t)l->view.outs, sizeof *out->uz);
	return out->uu && out->uz ? TAMIS_OK : no_memory(err);
}

void refit_sums_free(struct refit_sums *a)
{
	free(a->item_u);
	free(a->item_z);
	a->item_u = a->item_z = NULL;
}

/* ---- adding ---------------------------------------------------------------------------------------------------- */

static void add(double *to, const double *from, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		to[i] += from[i];
}

static enum tamis_status append(const struct layer *l, struct refit_sums *to, const struct refit_sums *from,
                                struct tamis_error *err)
{
	size_t rows = (size_t)(to->rows + from->rows), wide = (size_t)l->features, outs = (size_t)l->view.outs;

	if (to->rows && rows * (wide + outs) * sizeof(float) > REFIT_MAX_BYTES)
		return TAMIS_OK;
	if (!tm_grow((void **)&to->item_u, &to->cap_u, rows * wide, sizeof(float))
	    || !tm_grow((void **)&to->item_z, &to->cap_z, rows * outs, sizeof(float)))
		return no_memory(err);
	memcpy(to->item_u + (size_t)to->rows * wide, from->item_u, (size_t)from->rows * wide * sizeof(float));
	memcpy(to->item_z + (size_t)to->rows * outs, from->item_z, (size_t)from->rows * outs * sizeof(float));
	add(to->u, from->u, l->features);
	add(to->z, from->z, l->view.outs);
	to->rows += from->rows;
	return TAMIS_OK;
}

enum tamis_status refit_sums_add(const struct layer *l, struct refit_sums *to, const struct refit_sums *from,
                                 struct tamis_error *err)
{
	if (!to->uu)
		return append(l, to, from, err);
	add(to->u, from->u, l->features);
	add(to->z, from->z, l->view.outs);
	add(to->uu, from->uu, l->features * l->view.fan_in);
	add(to->uz, from->uz, l->view.fan_in * l->view.outs);
	to->rows += from->rows;
	return TAMIS_OK;
}

/* ---- centring -------------------------------------------------------------------------------------------------- */

static void centre_columns(float *x, int64_t rows, int64_t n, const double *mean)
{
	for (int64_t i = 0; i < rows; i++, x += n)
		for (int64_t k = 0; k < n; k++)
			x[k] = (float)(x[k] - mean[k]);
}

/* uu -> Cov(u, u), full; uz -> Cov(u, z). */
static void centre_moments(const struct layer *l, struct refit_sums *a)
{
	int64_t d = l->view.fan_in, per = l->view.outs / l->view.groups;
	double n = (double)a->rows;

	for (int64_t g = 0; g < l->view.groups; g++) {
		double *uu = a->uu + g * d * d, *uz = a->uz + g * d * per;
		const double *u = a->u + g * d, *z = a->z + g * per;

		for (int64_t i = 0; i < d; i++)
			for (int64_t k = 0; k <= i; k++)
				uu[i * d + k] = uu[k * d + i] = uu[i * d + k] / n - u[i] * u[k];
		for (int64_t i = 0; i < d; i++)
			for (int64_t o = 0; o < per; o++)
				uz[i * per + o] = uz[i * per + o] / n - u[i] * z[o];
	}
}

void refit_sums_centre(const struct layer *l, struct refit_sums *a)
{
	double n = (double)a->rows;

	if (!a->rows)
		return;
	for (int64_t f = 0; f < l->features; f++)
		a->u[f] /= n;
	for (int64_t o = 0; o < l->view.outs; o++)
		a->z[o] /= n;
	if (a->uu) {
		centre_moments(l, a);
		return;
	}
	centre_columns(a->item_u, a->rows, l->features, a->u);
	centre_columns(a->item_z, a->rows, l->view.outs, a->z);
}

/* ---- joining --------------------------------------------------------------------------------------------------- */

/* Weights of both parts and of the product of the distances of their means. */
struct shares { double to, from, between; };

static void join_means(double *to, const double *from, int64_t n, const struct shares *s)
{
	for (int64_t i = 0; i < n; i++)
		to[i] = s->to * to[i] + s->from * from[i];
}

void refit_sums_join(const struct layer *l, struct refit_sums *to, const struct refit_sums *from)
{
	int64_t d = l->view.fan_in, per = l->view.outs / l->view.groups, n = to->rows + from->rows;
	struct shares s = { (double)to->rows / (double)n, (double)from->rows / (double)n, 0 };

	if (!from->rows)
		return;
	s.between = s.to * s.from;
	for (int64_t f = 0; f < l->features; f++) {
		double *uu = to->uu + f * d, *uz = to->uz + f * per, apart = from->u[f] - to->u[f];
		int64_t g = f / d;

		for (int64_t k = 0; k < d; k++)
			uu[k] = s.to * uu[k] + s.from * from->uu[f * d + k]
				+ s.between * apart * (from->u[g * d + k] - to->u[g * d + k]);
		for (int64_t o = 0; o < per; o++)
			uz[o] = s.to * uz[o] + s.from * from->uz[f * per + o]
				+ s.between * apart * (from->z[g * per + o] - to->z[g * per + o]);
	}
	join_means(to->u, from->u, l->features, &s);
	join_means(to->z, from->z, l->view.outs, &s);
	to->rows = n;
}

struct refit_data refit_sums_data(const struct refit_sums *a)
{
	return (struct refit_data){ .uu = a->uu, .uz = a->uz, .u = a->item_u, .z = a->item_z, .n = a->rows };
}
