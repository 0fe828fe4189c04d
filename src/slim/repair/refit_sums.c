/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/repair/refit_sums.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/blas.h"

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "refitting");
}

bool refit_fits(const struct layer *l)
{
	return !l->note && l->bias != GRAPH_NONE;
}

int refit_positions(const struct layer *l)
{
	return l->positions < REFIT_POSITIONS ? (int)l->positions : REFIT_POSITIONS;
}

bool refit_keeps_items(const struct refit_job *j, const struct layer *l)
{
	return l->view.fan_in > REFIT_MAX_FAN_IN || (j->items && l->view.fan_in > j->items * refit_positions(l));
}

bool refit_few_rows(const struct layer *l, int64_t rows)
{
	return 2 * rows < l->view.fan_in;
}

double refit_layer_bytes(const struct refit_job *job, const struct layer *l, int64_t items)
{
	double d = (double)l->view.fan_in, both = (double)(l->features + l->view.outs);
	double rows = (double)items * refit_positions(l) * both * sizeof(float);

	if (!refit_fits(l))
		return 0;
	if (refit_keeps_items(job, l))
		return 2 * fmin(rows, (double)REFIT_MAX_BYTES);
	return 8 * ((double)l->features * d + d * (double)l->view.outs + both);
}

static enum tamis_status make_moments(const struct layer *l, bool chunk, struct arena *arena, struct refit_sums *out,
                                      struct tamis_error *err)
{
	size_t d = (size_t)l->view.fan_in, uu = (size_t)l->features * d, uz = d * (size_t)l->view.outs;

	if (chunk) {
		out->chunk_uu = arena_array(arena, uu, sizeof *out->chunk_uu);
		out->chunk_uz = arena_array(arena, uz, sizeof *out->chunk_uz);
		return out->chunk_uu && out->chunk_uz ? TAMIS_OK : no_memory(err);
	}
	out->uu = arena_array(arena, uu, sizeof *out->uu);
	out->uz = arena_array(arena, uz, sizeof *out->uz);
	return out->uu && out->uz ? TAMIS_OK : no_memory(err);
}

enum tamis_status refit_sums_make(const struct layer *l, enum refit_sums_kind kind, struct arena *arena,
                                  struct refit_sums *out, struct tamis_error *err)
{
	*out = (struct refit_sums){ 0 };
	out->u = arena_array(arena, (size_t)l->features, sizeof *out->u);
	out->z = arena_array(arena, (size_t)l->view.outs, sizeof *out->z);
	if (!out->u || !out->z)
		return no_memory(err);
	return kind == REFIT_OF_ROWS ? TAMIS_OK : make_moments(l, kind == REFIT_OF_CHUNK, arena, out, err);
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

static void add_floats(double *to, const float *from, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		to[i] += from[i];
}

/* Lower triangles of groups. */
static void add_triangles(double *to, const float *from, int64_t features, int64_t d)
{
	for (int64_t f = 0; f < features; f++, to += d, from += d)
		add_floats(to, from, f % d + 1);
}

/* Behind `have` rows. */
static enum tamis_status append(const struct layer *l, struct refit_sums *to, int64_t have, const struct refit_sums *from,
                                struct tamis_error *err)
{
	size_t rows = (size_t)(have + from->rows), wide = (size_t)l->features, outs = (size_t)l->view.outs;

	if (!tm_grow((void **)&to->item_u, &to->cap_u, rows * wide, sizeof(float))
	    || !tm_grow((void **)&to->item_z, &to->cap_z, rows * outs, sizeof(float)))
		return no_memory(err);
	memcpy(to->item_u + (size_t)have * wide, from->item_u, (size_t)from->rows * wide * sizeof(float));
	memcpy(to->item_z + (size_t)have * outs, from->item_z, (size_t)from->rows * outs * sizeof(float));
	return TAMIS_OK;
}

static bool has_room(const struct layer *l, const struct refit_sums *to, const struct refit_sums *from)
{
	return !to->rows || (size_t)(to->rows + from->rows) * (size_t)(l->features + l->view.outs) * sizeof(float) <= REFIT_MAX_BYTES;
}

void refit_sums_multiply(const struct layer *l, int64_t rows, const float *u, const float *z, float *uu, float *uz)
{
	int64_t d = l->view.fan_in, per = l->view.outs / l->view.groups;

	for (int64_t g = 0; g < l->view.groups; g++) {
		blas_gram(d, rows, u + g * d, l->features, uu + g * d * d);
		blas_gemm(DT_FLOAT, true, false, d, per, rows, 1, u + g * d, l->features, z + g * per, l->view.outs, 0,
		          uz + g * d * per, per);
	}
}

static void add_products(const struct layer *l, struct refit_sums *to, const float *uu, const float *uz)
{
	add_triangles(to->uu, uu, l->features, l->view.fan_in);
	add_floats(to->uz, uz, l->view.fan_in * l->view.outs);
}

enum tamis_status refit_sums_settle(const struct layer *l, struct refit_sums *a, struct tamis_error *err)
{
	float *uu, *uz;

	if (!a->waiting)
		return TAMIS_OK;
	uu = tm_array_uninit((size_t)(l->features * l->view.fan_in), sizeof *uu);
	uz = tm_array_uninit((size_t)(l->view.outs * l->view.fan_in), sizeof *uz);
	if (uu && uz) {
		refit_sums_multiply(l, a->waiting, a->item_u, a->item_z, uu, uz);
		add_products(l, a, uu, uz);
		a->waiting = 0;
	}
	free(uu);
	free(uz);
	return a->waiting ? no_memory(err) : TAMIS_OK;
}

/* They wait until there are enough. */
static enum tamis_status add_rows(const struct layer *l, struct refit_sums *to, const struct refit_sums *from,
                                  struct tamis_error *err)
{
	enum tamis_status s = append(l, to, to->waiting, from, err);

	if (s != TAMIS_OK)
		return s;
	to->waiting += from->rows;
	return to->waiting < REFIT_TOGETHER ? TAMIS_OK : refit_sums_settle(l, to, err);
}

enum tamis_status refit_sums_add(const struct layer *l, struct refit_sums *to, const struct refit_sums *from,
                                 struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;

	if (!to->uu && !has_room(l, to, from))
		return TAMIS_OK;
	if (to->uu && from->chunk_uu)
		add_products(l, to, from->chunk_uu, from->chunk_uz);
	else
		s = to->uu ? add_rows(l, to, from, err) : append(l, to, to->rows, from, err);
	add(to->u, from->u, l->features);
	add(to->z, from->z, l->view.outs);
	to->rows += from->rows;
	return s;
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

/* ---- parting --------------------------------------------------------------------------------------------------- */

/* With n = n_all, the means apart by d: n C_all = n_rest C_rest + n_part C_part + n_rest n_part / n d d'. */
struct shares { double all, part, between; };

static void part_means(const double *all, const double *part, double *rest, int64_t n, const struct shares *s)
{
	for (int64_t i = 0; i < n; i++)
		rest[i] = s->all * all[i] - s->part * part[i];
}

void refit_sums_part(const struct layer *l, const struct refit_sums *all, const struct refit_sums *part,
                     struct refit_sums *rest)
{
	int64_t d = l->view.fan_in, per = l->view.outs / l->view.groups, n = all->rows - part->rows;
	struct shares s = { (double)all->rows / (double)n, (double)part->rows / (double)n,
		(double)part->rows / (double)all->rows };

	part_means(all->u, part->u, rest->u, l->features, &s);
	part_means(all->z, part->z, rest->z, l->view.outs, &s);
	for (int64_t f = 0; f < l->features; f++) {
		const double *uu = all->uu + f * d, *uz = all->uz + f * per, *part_uu = part->uu + f * d, *part_uz = part->uz + f * per;
		double apart = s.between * (part->u[f] - rest->u[f]);
		int64_t g = f / d;

		for (int64_t k = 0; k < d; k++)
			rest->uu[f * d + k] = s.all * uu[k] - s.part * part_uu[k]
				- apart * (part->u[g * d + k] - rest->u[g * d + k]);
		for (int64_t o = 0; o < per; o++)
			rest->uz[f * per + o] = s.all * uz[o] - s.part * part_uz[o]
				- apart * (part->z[g * per + o] - rest->z[g * per + o]);
	}
	rest->rows = n;
}

struct refit_data refit_sums_data(const struct refit_sums *a)
{
	return (struct refit_data){ .uu = a->uu, .uz = a->uz, .u = a->uu ? NULL : a->item_u, .z = a->uu ? NULL : a->item_z, .n = a->rows };
}
