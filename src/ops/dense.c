/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/dense.h"

#include "base/error.h"
#include "ops/blas.h"
#include "ops/broadcast.h"

enum { PART = 16384 }; /* floats that what follows the product takes at a time: they stay in the nearest cache */

static enum tamis_status dense_shape(struct op_call *c)
{
	const struct dense_attr *a = c->node->attr;
	const struct tensor *x = c->in[0], *w = c->in[1];
	int64_t dims[TENSOR_MAX_RANK];

	if (x->type != DT_FLOAT)
		return tm_fail(c->err, TAMIS_E_INVALID, "the factors have the types %s and %s; the same is expected",
		               dtype_name((int)x->type), dtype_name((int)w->type));
	if (x->rank < 1 || (a->matrix && x->rank != 2))
		return tm_fail(c->err, TAMIS_E_INVALID, "the first factor has rank %d", x->rank);
	if (x->dims[x->rank - 1] != w->dims[0])
		return tm_fail(c->err, TAMIS_E_INVALID,
		               "the product runs over %lld elements of A and %lld of B; the same is expected",
		               (long long)x->dims[x->rank - 1], (long long)w->dims[0]);
	for (int i = 0; i < x->rank; i++)
		dims[i] = i < x->rank - 1 ? x->dims[i] : w->dims[1];
	return op_set_out(c, 0, DT_FLOAT, x->rank, dims);
}

LOOP_VERSIONS static void add_bias(int64_t rows, int64_t n, const float *restrict bias, float *restrict y)
{
	for (int64_t i = 0; i < rows; i++, y += n)
		for (int64_t k = 0; k < n; k++)
			y[k] += bias[k];
}

static enum tamis_status run_after(struct op_call *c, const struct node *n, float *y, int64_t count)
{
	struct tensor part = {.type = DT_FLOAT, .rank = 1, .dims = {count}, .count = count, .data = y}, *out = &part;
	const struct tensor *in = &part;
	struct op_call call = {.node = n, .n_in = 1, .n_out = 1, .in = &in, .out = &out, .scratch = c->scratch,
	                       .err = c->err};

	return n->op->run(&call);
}

static enum tamis_status finish(struct op_call *c, int64_t rows, int64_t n, float *y)
{
	const struct dense_attr *a = c->node->attr;
	const struct tensor *bias = op_in(c, 2);
	enum tamis_status s = TAMIS_OK;

	if (bias)
		add_bias(rows, n, bias->data, y);
	for (int i = 0; s == TAMIS_OK && i < a->n_after; i++)
		s = run_after(c, a->after[i], y, rows * n);
	return s;
}

static enum tamis_status dense_run(struct op_call *c)
{
	const struct tensor *x = c->in[0], *w = c->in[1];
	int64_t k = w->dims[0], n = w->dims[1], rows, part;
	float *y = c->out[0]->data;
	enum tamis_status s = TAMIS_OK;

	if (c->out[0]->count == 0)
		return TAMIS_OK;
	rows = c->out[0]->count / n;
	part = n < PART ? PART / n : 1;
	blas_gemm(DT_FLOAT, false, false, rows, n, k, 1, x->data, k, w->data, n, 0, y, n);
	for (int64_t i = 0; s == TAMIS_OK && i < rows; i += part)
		s = finish(c, i + part < rows ? part : rows - i, n, y + i * n);
	return s;
}

const struct op dense = {
	.name = "Dense", .domain = "tamis.dense", .since = 1, .until = OP_LATEST, .min_in = 2, .max_in = 3, .min_out = 1,
	.max_out = 1, .shape = dense_shape, .run = dense_run};
