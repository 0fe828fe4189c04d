/* SPDX-License-Identifier: Apache-2.0 */
/* MatMul, as numpy.matmul: matrices in the last two axes, the axes before broadcast, vectors promoted. */
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "ops/blas.h"
#include "ops/family.h"
#include "ops/row_linear.h"

/* `batches` products of m x k by k x n. The strides, in elements, are 0 along an axis that is repeated. */
struct product {
	int64_t m, k, n, batches;
	int batch_rank;
	int64_t dims[TENSOR_MAX_RANK], a_stride[TENSOR_MAX_RANK], b_stride[TENSOR_MAX_RANK];
	bool a_vector, b_vector;
};

/* Axis i of the broadcast batch axes (0 = first of `rank`), 1 where t has none. `t` has its last two axes
 * cut off. */
static int64_t batch_dim(const struct tensor *t, int rank, int i)
{
	int axis = i - rank + t->rank - 2;

	return axis < 0 ? 1 : t->dims[axis];
}

/* 0 on overflow: only where a zero elsewhere makes the tensor empty. */
static int64_t times(int64_t a, int64_t b)
{
	return tm_mul(a, b, &a) ? a : 0;
}

static enum tamis_status broadcast(const struct tensor *a, const struct tensor *b, struct product *p,
                                   struct tamis_error *err)
{
	int64_t a_size = p->m * p->k, b_size = p->k * p->n;
	int rank = (a->rank > b->rank ? a->rank : b->rank) - 2;

	p->batch_rank = rank < 0 ? 0 : rank;
	for (int i = p->batch_rank - 1; i >= 0; i--) {
		int64_t da = batch_dim(a, rank, i), db = batch_dim(b, rank, i);

		if (da != db && da != 1 && db != 1)
			return tm_fail(err, TAMIS_E_INVALID, "the batch axes of the factors, %lld and %lld, do not broadcast",
			               (long long)da, (long long)db);
		p->dims[i] = da == 1 ? db : da;
		p->a_stride[i] = da == 1 ? 0 : a_size;
		p->b_stride[i] = db == 1 ? 0 : b_size;
		a_size = times(a_size, da);
		b_size = times(b_size, db);
	}
	if (!tm_product(p->dims, p->batch_rank, &p->batches))
		return tm_fail(err, TAMIS_E_INVALID, "the number of products overflows");
	return TAMIS_OK;
}

static enum tamis_status find_product(const struct tensor *a, const struct tensor *b, struct product *p,
                                      struct tamis_error *err)
{
	int64_t inner;

	if (a->rank < 1 || b->rank < 1)
		return tm_fail(err, TAMIS_E_INVALID, "a factor of MatMul is a scalar; at least one axis is expected");
	*p = (struct product){.a_vector = a->rank == 1, .b_vector = b->rank == 1};
	p->k = a->dims[a->rank - 1];
	p->m = p->a_vector ? 1 : a->dims[a->rank - 2];
	p->n = p->b_vector ? 1 : b->dims[b->rank - 1];
	inner = b->dims[p->b_vector ? 0 : b->rank - 2];
	if (inner != p->k)
		return tm_fail(err, TAMIS_E_INVALID,
		               "the product runs over %lld elements of A and %lld of B; the same is expected",
		               (long long)p->k, (long long)inner);
	if (!blas_fits(p->m) || !blas_fits(p->k) || !blas_fits(p->n))
		return tm_fail(err, TAMIS_E_UNSUPPORTED, "a matrix exceeds %d rows or columns", INT32_MAX);
	return broadcast(a, b, p, err);
}

/* Where B is one matrix for all, the batches of A are rows of one product. */
static void collapse(const struct tensor *a, const struct tensor *b, struct product *p)
{
	if (p->batch_rank == 0 || b->count != p->k * p->n || a->count != p->batches * p->m * p->k)
		return;
	p->m *= p->batches;
	p->batches = 1;
	p->batch_rank = 0;
}

/* Offset of batch i in a factor with these strides. */
static int64_t offset(const struct product *p, const int64_t *strides, int64_t i)
{
	int64_t at = 0;

	for (int axis = p->batch_rank - 1; axis >= 0; i /= p->dims[axis], axis--)
		at += i % p->dims[axis] * strides[axis];
	return at;
}

static enum tamis_status shape(struct op_call *call)
{
	const struct tensor *a = call->in[0], *b = call->in[1];
	int64_t dims[TENSOR_MAX_RANK + 2];
	struct product p;
	enum tamis_status s;
	int rank;

	if (!blas_has_type(a->type))
		return tm_fail(call->err, TAMIS_E_UNSUPPORTED, "MatMul of the type %s is not defined",
		               dtype_name((int)a->type));
	if (a->type != b->type)
		return tm_fail(call->err, TAMIS_E_INVALID, "the factors have the types %s and %s; the same is expected",
		               dtype_name((int)a->type), dtype_name((int)b->type));
	if ((s = find_product(a, b, &p, call->err)))
		return s;
	rank = p.batch_rank;
	memcpy(dims, p.dims, (size_t)rank * sizeof *dims);
	if (!p.a_vector)
		dims[rank++] = p.m;
	if (!p.b_vector)
		dims[rank++] = p.n;
	return op_set_out(call, 0, a->type, rank, dims);
}

static void run_int(const struct op_call *call, const struct product *p)
{
	const char *a = call->in[0]->data, *b = call->in[1]->data;
	struct tensor *y = call->out[0];
	int bits = dtype_bits((int)y->type), size = bits / 8;

	memset(y->data, 0, tensor_bytes(y));
	for (int64_t i = 0; i < p->batches; i++)
		blas_gemm_int(bits, p->m, p->n, p->k, a + offset(p, p->a_stride, i) * size, p->k, 1,
		              b + offset(p, p->b_stride, i) * size, p->n, 1, (char *)y->data + i * p->m * p->n * size);
}

static enum tamis_status run(struct op_call *call)
{
	const struct tensor *a = call->in[0], *b = call->in[1];
	struct tensor *y = call->out[0];
	struct product p;
	enum tamis_status s = find_product(a, b, &p, call->err);

	if (s || !y || y->count == 0)
		return s;
	collapse(a, b, &p);
	if (!dtype_is_float((int)y->type)) {
		run_int(call, &p);
		return TAMIS_OK;
	}
	for (int64_t i = 0; i < p.batches; i++)
		blas_gemm(y->type, false, false, p.m, p.n, p.k, 1,
		          blas_at(y->type, a->data, offset(&p, p.a_stride, i)), p.k,
		          blas_at(y->type, b->data, offset(&p, p.b_stride, i)), p.n, 0,
		          blas_at(y->type, y->data, i * p.m * p.n), p.n);
	return TAMIS_OK;
}

/* A repeated factor gets the sum over its repetitions, since every product adds. */
static enum tamis_status reverse(struct op_grad *g)
{
	const struct tensor *a = g->call->in[0], *b = g->call->in[1], *gy = g->gout[0];
	struct product p;
	enum tamis_status s = find_product(a, b, &p, g->call->err);

	if (s || !gy || gy->count == 0)
		return s;
	collapse(a, b, &p);
	for (int64_t i = 0; i < p.batches; i++) {
		int64_t at_a = offset(&p, p.a_stride, i), at_b = offset(&p, p.b_stride, i);
		const void *from = blas_at(gy->type, gy->data, i * p.m * p.n);

		if (g->gin[0])
			blas_gemm(gy->type, false, true, p.m, p.k, p.n, 1, from, p.n, blas_at(gy->type, b->data, at_b), p.n, 1,
			          blas_at(gy->type, g->gin[0]->data, at_a), p.k);
		if (g->gin[1])
			blas_gemm(gy->type, true, false, p.k, p.n, p.m, 1, blas_at(gy->type, a->data, at_a), p.k, from, p.n, 1,
			          blas_at(gy->type, g->gin[1]->data, at_b), p.n);
	}
	return TAMIS_OK;
}

/* Only a plain matrix on the right makes connections; a vector there has no output axis to name channels
 * on. */
static enum tamis_status describe(const struct node *n, const struct tensor *const *in, int n_in,
                                  struct linear_view *view, struct tamis_error *err)
{
	struct product p;
	enum tamis_status s = find_product(in[0], in[1], &p, err);

	(void)n;
	(void)n_in;
	if (s)
		return s;
	if (!dtype_is_float((int)in[0]->type) || in[1]->rank != 2 || p.k == 0 || p.n == 0)
		return tm_fail(err, TAMIS_E_UNSUPPORTED, "this form of MatMul makes no connections");
	*view = (struct linear_view){
		.data = 0, .weight = 1, .bias = GRAPH_NONE, .can_bias = false, .groups = 1, .fan_in = p.k, .outs = p.n,
		.inner = 1, .stride_out = 1, .stride_channel = p.n, .in_axis = -1, .out_axis = -1, .weight_scale = 1,
		.bias_scale = 1, .exact_mean = true,
	};
	return TAMIS_OK;
}

static const struct linear_op linear = {describe, row_linear_positions, row_linear_gather,
                                        row_linear_sums, row_linear_gather_out};

/* Batch axes align from the third last on; those of a vector are missing. */
static void channels(struct channel_call *c)
{
	const struct tensor *a = c->in[0], *b = c->in[1], *y = c->out[0];
	int rows = a->rank > 1, cols = b->rank > 1;

	if (!y)
		return;
	if (channels_constant(c, 0) && !channels_constant(c, 1))
		channels_read(c, 1, cols ? -2 : -1, 0, -1);
	else
		channels_read(c, 0, -1, 1, cols ? -2 : -1);
	if (rows)
		channels_tie(c, 0, -2, COUPLING_OUT(0), cols ? -2 : -1);
	if (cols)
		channels_tie(c, 1, -1, COUPLING_OUT(0), -1);
	for (int side = 0; side < 2; side++)
		for (int k = 3; k <= c->in[side]->rank; k++) {
			int from = y->rank - k + 2 - rows - cols;

			if (c->in[side]->dims[c->in[side]->rank - k] == y->dims[from])
				channels_tie(c, side, -k, COUPLING_OUT(0), from);
		}
}

const struct op ops_matmul[] = {
	{.name = "MatMul", .domain = "", .since = 1, .until = OP_LATEST, .min_in = 2, .max_in = 2, .min_out = 1,
	 .max_out = 1, .channels = channels, .shape = shape, .run = run, .reverse = reverse,
	 .linear = &linear},
	{0},
};
