/* SPDX-License-Identifier: Apache-2.0 */
/* MeanVarianceNormalization: y = (x - mean) / (deviation + 1e-9) over any set of axes. The operator is rare,
 * so it is computed in double throughout, whatever the element type. */
#include <math.h>
#include <string.h>

#include "ops/args.h"
#include "ops/broadcast.h"
#include "ops/family.h"

#define EPSILON 1e-9 /* of the operator's definition */

struct mvn_attr {
	int n;
	int64_t axes[TENSOR_MAX_RANK];
};

static enum tamis_status mvn_parse(struct op_parse *p, void **attr)
{
	static const int64_t usual[] = {0, 2, 3};
	struct mvn_attr *a = args_alloc(p, sizeof *a);
	const int64_t *axes = NULL;
	int n = 0;
	enum tamis_status status;

	if (!a)
		return TAMIS_E_MEMORY;
	*attr = a;
	status = attr_ints(p, "axes", &axes, &n);
	if (status != TAMIS_OK)
		return status;
	if (n > TENSOR_MAX_RANK)
		return tm_fail(p->err, TAMIS_E_INVALID, "axes lists %d axes; a tensor has at most %d", n,
		               TENSOR_MAX_RANK);
	a->n = n < 0 ? 3 : n;
	for (int i = 0; i < a->n; i++)
		a->axes[i] = n < 0 ? usual[i] : axes[i];
	return TAMIS_OK;
}

/* Shape of the moments: the data's with ones along the axes. */
static enum tamis_status mvn_kept(const struct op_call *c, struct tensor *kept)
{
	const struct mvn_attr *a = c->node->attr;
	const struct tensor *x = op_in(c, 0);
	int64_t axes[TENSOR_MAX_RANK], dims[TENSOR_MAX_RANK];
	enum tamis_status status;

	memcpy(axes, a->axes, sizeof axes);
	status = args_axes(c->err, axes, a->n, x->rank);
	if (status != TAMIS_OK)
		return status;
	memcpy(dims, x->dims, sizeof dims);
	for (int i = 0; i < a->n; i++)
		dims[axes[i]] = 1;
	memset(kept, 0, sizeof *kept);
	return tensor_shape(kept, DT_DOUBLE, x->rank, dims, c->err);
}

static enum tamis_status mvn_shape(struct op_call *c)
{
	const struct tensor *x = op_in(c, 0);
	struct tensor kept;
	enum tamis_status status;

	if (!dtype_is_float((int)x->type))
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "%s does not take elements of type %s", c->node->op->name,
		               dtype_name((int)x->type));
	status = mvn_kept(c, &kept);
	return status == TAMIS_OK ? op_set_like(c, 0, x->type, x) : status;
}

/* Everything in double: the centred data, and for each group its size and its deviation. */
struct centred {
	struct tensor x, kept;
	double count, *deviation;
};

/* sums[group] += a[i] * b[i] (b NULL: a[i]); sums starts at zero. */
static void group_sums(const struct centred *m, const double *a, const double *b, double *sums)
{
	const struct tensor *in[] = {&m->kept};
	struct broadcast w;

	memset(sums, 0, (size_t)m->kept.count * sizeof *sums);
	for (bool more = broadcast_start(&w, &m->x, in, 1); more; more = broadcast_next(&w))
		for (int64_t i = 0; i < w.row; i++)
			sums[w.at[0] + i * w.step[0]] += a[w.out + i] * (b ? b[w.out + i] : 1);
}

/* to[i] = by_a[group] * a[i] + by_b[group] * b[i] + shift[group]; the last two terms may be absent (NULL). */
static void group_combine(const struct centred *m, const double *a, const double *by_a, const double *b,
                          const double *by_b, const double *shift, double *to)
{
	const struct tensor *in[] = {&m->kept};
	struct broadcast w;

	for (bool more = broadcast_start(&w, &m->x, in, 1); more; more = broadcast_next(&w))
		for (int64_t i = 0; i < w.row; i++) {
			int64_t k = w.at[0] + i * w.step[0], at = w.out + i;

			to[at] = a[at] * by_a[k] + (b ? b[at] * by_b[k] : 0) + (shift ? shift[k] : 0);
		}
}

static double *groups(const struct op_call *c, const struct centred *m)
{
	return scratch_alloc(c->scratch, (size_t)m->kept.count, sizeof(double));
}

static enum tamis_status in_double(const struct op_call *c, const struct tensor *t, struct tensor *to)
{
	*to = *t;
	to->type = DT_DOUBLE;
	to->data = scratch_alloc(c->scratch, (size_t)t->count, sizeof(double));
	return to->data ? tensor_convert(t, to, c->err) : tm_no_memory(c->err, "normalising");
}

static enum tamis_status centre(const struct op_call *c, struct centred *m)
{
	enum tamis_status status = mvn_kept(c, &m->kept);
	double *mean, *one;

	if (status == TAMIS_OK)
		status = in_double(c, op_in(c, 0), &m->x);
	if (status != TAMIS_OK)
		return status;
	m->count = m->kept.count ? (double)(m->x.count / m->kept.count) : 0;
	m->deviation = groups(c, m);
	mean = groups(c, m);
	one = groups(c, m);
	if (!m->deviation || !mean || !one)
		return tm_no_memory(c->err, "normalising");
	group_sums(m, m->x.data, NULL, mean);
	for (int64_t k = 0; k < m->kept.count; k++) {
		mean[k] /= -m->count;
		one[k] = 1;
	}
	group_combine(m, m->x.data, one, NULL, NULL, mean, m->x.data);
	group_sums(m, m->x.data, m->x.data, m->deviation);
	for (int64_t k = 0; k < m->kept.count; k++)
		m->deviation[k] = sqrt(m->deviation[k] / m->count);
	return TAMIS_OK;
}

static enum tamis_status mvn_run(struct op_call *c)
{
	struct centred m;
	enum tamis_status status = centre(c, &m);
	double *inverse = status == TAMIS_OK ? groups(c, &m) : NULL;

	if (!inverse)
		return status != TAMIS_OK ? status : tm_no_memory(c->err, "normalising");
	for (int64_t k = 0; k < m.kept.count; k++)
		inverse[k] = 1 / (m.deviation[k] + EPSILON);
	group_combine(&m, m.x.data, inverse, NULL, NULL, NULL, m.x.data);
	return tensor_convert(&m.x, c->out[0], c->err);
}

/* With d the centred data, s the deviation, v = s + epsilon and n elements a group:
 * gx = (g - mean g) / v - d sum(g d) / (n s v^2). */
static enum tamis_status add_gradient(struct op_grad *g, struct centred *m, struct tensor *gy)
{
	double *shift = groups(g->call, m), *by_g = groups(g->call, m), *by_d = groups(g->call, m);

	if (!shift || !by_g || !by_d)
		return tm_no_memory(g->call->err, "reversing a normalization");
	group_sums(m, gy->data, NULL, shift);
	group_sums(m, gy->data, m->x.data, by_d);
	for (int64_t k = 0; k < m->kept.count; k++) {
		double s = m->deviation[k], v = s + EPSILON;

		by_g[k] = 1 / v;
		shift[k] /= -m->count * v;
		by_d[k] = s > 0 ? -by_d[k] / (m->count * s * v * v) : 0;
	}
	group_combine(m, gy->data, by_g, m->x.data, by_d, shift, gy->data);
	for (int64_t i = 0; i < gy->count; i++)
		tensor_set(g->gin[0], i, tensor_get(g->gin[0], i) + ((const double *)gy->data)[i]);
	return TAMIS_OK;
}

static enum tamis_status mvn_reverse(struct op_grad *g)
{
	struct centred m;
	struct tensor gy;
	enum tamis_status status;

	if (!g->gout[0] || !g->gin[0])
		return TAMIS_OK;
	status = centre(g->call, &m);
	if (status == TAMIS_OK)
		status = in_double(g->call, g->gout[0], &gy);
	return status == TAMIS_OK ? add_gradient(g, &m, &gy) : status;
}

const struct op ops_mean_variance[] = {
	{.name = "MeanVarianceNormalization", .domain = "", .since = 9, .until = OP_LATEST, .min_in = 1,
	 .max_in = 1, .min_out = 1, .max_out = 1, .flags = OP_INPLACE, .parse = mvn_parse, .shape = mvn_shape,
	 .run = mvn_run, .reverse = mvn_reverse},
	{0},
};
