/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "stat/comoment.h"
#include "stat/grid.h"

void grid_add(double *sum, const float *psi, int64_t n, int r, const float *shift, double scale)
{
	for (int k = 0; k < r; k++) {
		double part = 0;
		for (int64_t t = 0; t < n; t++)
			part += psi[t * r + k] - shift[k];
		sum[k] += on_grid(part, MAGIC * scale);
	}
}

enum tamis_status output_moment_create(struct output_moment *m, int r, struct tamis_error *err)
{
	*m = (struct output_moment){ .r = r };
	if (r < 1)
		return tm_fail(err, TAMIS_E_USAGE, "output moments need at least one feature, but came %d", r);
	m->shift = tm_array((size_t)r, sizeof(float));
	m->sum = tm_array((size_t)r, sizeof(double));
	m->second = tm_array((size_t)r * (size_t)r, sizeof(double));
	if (m->shift && m->sum && m->second)
		return TAMIS_OK;
	output_moment_free(m);
	return tm_no_memory(err, "making room for output moments");
}

static void copy_output_pivot(struct output_moment *to, const struct output_moment *from)
{
	to->pivoted = from->pivoted;
	to->scale = from->scale;
	memcpy(to->shift, from->shift, (size_t)from->r * sizeof(float));
}

enum tamis_status output_moment_pivot(
		struct output_moment *m, const float *psi, int64_t n, struct tamis_error *err)
{
	if (m->pivoted || n < 1)
		return tm_fail(err, TAMIS_E_USAGE, "a pivot is taken once, from at least one item");
	if (!grid_pivot(psi, n, m->r, m->shift, &m->scale))
		return tm_fail(err, TAMIS_E_INVALID, "outputs must be finite, but those of the first chunk are not");
	m->pivoted = true;
	return TAMIS_OK;
}

/* sum_t (psi_k - shift_k) (psi_l - shift_l) over a chunk. */
static double psi_product(const struct output_moment *m, const float *psi, int64_t n, int k, int l)
{
	double part = 0, shift_k = m->shift[k], shift_l = m->shift[l];
	for (int64_t t = 0; t < n; t++)
		part += (psi[t * m->r + k] - shift_k) * (psi[t * m->r + l] - shift_l);
	return on_grid(part, MAGIC * m->scale * m->scale);
}

enum tamis_status output_moment_add(
		struct output_moment *m, const float *psi, int64_t n, struct tamis_error *err)
{
	if (n < 1)
		return TAMIS_OK;
	enum tamis_status st = m->pivoted ? TAMIS_OK : output_moment_pivot(m, psi, n, err);
	if (st != TAMIS_OK)
		return st;
	grid_add(m->sum, psi, n, m->r, m->shift, m->scale);
	for (int k = 0; k < m->r; k++)
		for (int l = 0; l <= k; l++) {
			double v = m->second[k * m->r + l] + psi_product(m, psi, n, k, l);
			m->second[k * m->r + l] = m->second[l * m->r + k] = v;
		}
	m->n += n;
	return TAMIS_OK;
}

enum tamis_status output_moment_merge(struct output_moment *into, const struct output_moment *from,
		struct tamis_error *err)
{
	if (into->r != from->r)
		return tm_fail(err, TAMIS_E_INVALID, "output moments to merge must have one size, but %d met %d",
				into->r, from->r);
	if (!from->pivoted)
		return TAMIS_OK;
	if (!into->pivoted)
		copy_output_pivot(into, from);
	if (into->scale != from->scale || memcmp(into->shift, from->shift, (size_t)into->r * sizeof *into->shift))
		return tm_fail(err, TAMIS_E_INVALID, "output moments to merge must have seen the same first chunk");
	into->n += from->n;
	for (int k = 0; k < into->r; k++)
		into->sum[k] += from->sum[k];
	for (int k = 0; k < into->r * into->r; k++)
		into->second[k] += from->second[k];
	return TAMIS_OK;
}

void output_moment_covariance(const struct output_moment *m, double *cov)
{
	double n = (double)m->n;
	for (int k = 0; k < m->r; k++)
		for (int l = 0; l < m->r; l++)
			cov[k * m->r + l] = (m->second[k * m->r + l] - m->sum[k] * (m->sum[l] / n)) / n;
}

void output_moment_free(struct output_moment *m)
{
	free(m->shift);
	free(m->sum);
	free(m->second);
	*m = (struct output_moment){ 0 };
}
