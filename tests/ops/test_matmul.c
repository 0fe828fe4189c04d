/* SPDX-License-Identifier: Apache-2.0 */
/* MatMul against the definition over random broadcast shapes, reverse against differences, the linear
 * view. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "harness.h"
#include "ops/family.h"

/* Batch axes are right-aligned in three places; 0 marks an axis that the factor does not have. */
struct form {
	int64_t a_batch[3], b_batch[3], m, k, n;
	bool a_vector, b_vector;
};

static struct op_case *open_case(const struct form *f, enum dtype type)
{
	struct op_case *o = case_new(ops_matmul, "MatMul", 13);
	int64_t a[5], b[5];
	int na = 0, nb = 0;

	for (int i = 0; i < 3; i++) {
		if (f->a_batch[i])
			a[na++] = f->a_batch[i];
		if (f->b_batch[i])
			b[nb++] = f->b_batch[i];
	}
	if (!f->a_vector)
		a[na++] = f->m;
	a[na++] = f->k;
	b[nb++] = f->k;
	if (!f->b_vector)
		b[nb++] = f->n;
	case_in(o, type, na, a, NULL);
	case_in(o, type, nb, b, NULL);
	return o;
}

static struct form draw(struct rng *r)
{
	struct form f = {.m = 1 + (int64_t)rng_below(r, 4), .k = (int64_t)rng_below(r, 5),
	                 .n = 1 + (int64_t)rng_below(r, 4)};
	int a_axes = (int)rng_below(r, 4), b_axes = (int)rng_below(r, 4);

	for (int i = 0; i < 3; i++) {
		int64_t d = 1 + (int64_t)rng_below(r, 3);

		if (i >= 3 - a_axes)
			f.a_batch[i] = rng_below(r, 3) ? d : 1;
		if (i >= 3 - b_axes)
			f.b_batch[i] = rng_below(r, 3) ? d : 1;
	}
	f.a_vector = a_axes == 0 && rng_below(r, 3) == 0;
	f.b_vector = b_axes == 0 && rng_below(r, 3) == 0;
	f.m = f.a_vector ? 1 : f.m;
	f.n = f.b_vector ? 1 : f.n;
	return f;
}

/* Flat batch index of a factor at coordinates of the result. */
static int64_t batch_of(const int64_t *dims, const int64_t *at)
{
	int64_t flat = 0;

	for (int i = 0; i < 3; i++)
		if (dims[i])
			flat = flat * dims[i] + (dims[i] == 1 ? 0 : at[i]);
	return flat;
}

static int64_t extent(const struct form *f, int i)
{
	int64_t a = f->a_batch[i], b = f->b_batch[i];

	return a > b ? a : b;
}

static void compare(const struct form *f, enum dtype type)
{
	struct op_case *o = open_case(f, type);
	int64_t dims[5], whole[3], count = f->m * f->n;
	int rank = 0;
	double *y;

	for (int i = 0; i < 3; i++) {
		whole[i] = extent(f, i) ? extent(f, i) : 1;
		count *= whole[i];
		if (extent(f, i))
			dims[rank++] = whole[i];
	}
	if (!f->a_vector)
		dims[rank++] = f->m;
	if (!f->b_vector)
		dims[rank++] = f->n;
	y = arena_array(&o->arena, (size_t)count + 1, sizeof *y);
	for (int64_t i = 0; i < count; i++) {
		int64_t batch = i / (f->m * f->n), row = i / f->n % f->m, col = i % f->n;
		int64_t at[3] = {batch / whole[2] / whole[1], batch / whole[2] % whole[1], batch % whole[2]};

		for (int64_t l = 0; l < f->k; l++)
			y[i] += tensor_get(&o->in[0], (batch_of(f->a_batch, at) * f->m + row) * f->k + l) *
			        tensor_get(&o->in[1], (batch_of(f->b_batch, at) * f->k + l) * f->n + col);
	}
	case_run(o);
	case_expect(o, 0, type, rank, dims, y, type == DT_FLOAT ? 1e-5 : type == DT_DOUBLE ? 1e-12 : 0);
	case_free(o);
}

static struct rng seeded(uint64_t stream)
{
	const char *text = getenv("TAMIS_SEED");

	cr_log_info("seed %s", text ? text : "7");
	return rng_make(text ? strtoull(text, NULL, 0) : 7, stream);
}

Test(matmul, random_shapes)
{
	static const enum dtype types[] = {DT_FLOAT, DT_DOUBLE, DT_INT32, DT_UINT32, DT_INT64, DT_UINT64};
	struct rng r = seeded(1);

	for (int i = 0; i < 3000; i++) {
		struct form f = draw(&r);

		compare(&f, types[i % 6]);
	}
}

Test(matmul, reverse)
{
	struct rng r = seeded(2);

	for (int i = 0; i < 120; i++) {
		struct form f = draw(&r);
		struct op_case *o = open_case(&f, DT_DOUBLE);

		check_reverse(o, 3);
		case_free(o);
	}
}

/* Signed products wrap modulo 2^32, as numpy's do. */
Test(matmul, integers_wrap)
{
	struct op_case *o = case_new(ops_matmul, "MatMul", 9);

	case_in(o, DT_INT32, SHAPE(1, 2), VALUES(65536, -1));
	case_in(o, DT_INT32, SHAPE(2, 1), VALUES(65536, 5));
	case_run(o);
	case_expect(o, 0, DT_INT32, SHAPE(1, 1), VALUES(-5), 0);
	case_free(o);
}

Test(matmul, linear)
{
	for (int64_t items = 1; items <= 6; items++) {
		struct form f = {.a_batch = {0, 2, 3}, .m = 2, .k = 4, .n = 5};
		struct op_case *o = open_case(&f, items % 2 ? DT_FLOAT : DT_DOUBLE);
		const struct tensor *in[2] = {&o->in[0], &o->in[1]};
		struct tensor *out[1] = {&o->out[0]};
		struct op_call call = {.node = &o->node, .n_in = 2, .n_out = 1, .in = in, .out = out, .err = &o->err};
		const struct linear_op *l = o->node.op->linear;
		struct linear_view v;
		int64_t n = 12 % items ? 0 : 12 / items, pos[12];
		float u[12 * 4], z[12 * 5];

		case_run(o);
		cr_assert_eq(l->describe(&o->node, in, 2, &v, &o->err), TAMIS_OK);
		cr_assert_eq(l->positions(&call, &v, items), n);
		for (int i = 0; i < n; i++)
			pos[i] = n - 1 - i;
		cr_assert(n == 0 || l->gather(&call, &v, items, pos, n, u) == TAMIS_OK);
		cr_assert(n == 0 || l->gather_out(&call, &v, out[0], items, pos, n, z) == TAMIS_OK);
		for (int i = 0; i < items * n * 5; i++) {
			double sum = 0;

			for (int64_t d = 0; d < 4; d++)
				sum += u[i / 5 * 4 + d] * tensor_get(in[1], i % 5 * v.stride_out + d * v.stride_channel);
			cr_assert_float_eq(z[i], sum, 1e-4);
		}
		call.scratch = &o->scratch;
		if (n)
			check_sums(o, &call, &v, items);
		case_free(o);
	}
}

Test(matmul, linear_refuses_batches_on_the_right)
{
	struct form forms[] = {{.a_batch = {0, 0, 2}, .b_batch = {0, 0, 2}, .m = 2, .k = 3, .n = 4},
	                       {.m = 2, .k = 3, .n = 1, .b_vector = true}};

	for (int i = 0; i < 2; i++) {
		struct op_case *o = open_case(&forms[i], DT_FLOAT);
		const struct tensor *in[2] = {&o->in[0], &o->in[1]};
		struct linear_view v;

		cr_assert_eq(o->node.op->linear->describe(&o->node, in, 2, &v, &o->err), TAMIS_E_UNSUPPORTED);
		case_free(o);
	}
}

Test(matmul, hostile)
{
	static const struct {
		int a_rank;
		int64_t a[4];
		int b_rank;
		int64_t b[4];
		enum dtype type;
		enum tamis_status status;
	} rows[] = {
		{0, {0}, 2, {3, 5}, DT_FLOAT, TAMIS_E_INVALID},
		{2, {2, 3}, 0, {0}, DT_FLOAT, TAMIS_E_INVALID},
		{2, {2, 3}, 2, {4, 5}, DT_FLOAT, TAMIS_E_INVALID},
		{1, {3}, 1, {4}, DT_FLOAT, TAMIS_E_INVALID},
		{3, {2, 2, 3}, 3, {3, 3, 5}, DT_FLOAT, TAMIS_E_INVALID},
		{2, {2, 3}, 2, {3, 5}, DT_INT16, TAMIS_E_UNSUPPORTED},
		{2, {0, INT64_MAX}, 2, {INT64_MAX, 0}, DT_FLOAT, TAMIS_E_UNSUPPORTED},
		{4, {INT32_MAX, INT32_MAX, INT32_MAX, 0}, 4, {INT32_MAX, INT32_MAX, 0, INT32_MAX}, DT_FLOAT,
		 TAMIS_E_INVALID},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct op_case *o = case_new(ops_matmul, "MatMul", 13);

		case_in(o, rows[i].type, rows[i].a_rank, rows[i].a, NULL);
		case_in(o, rows[i].type, rows[i].b_rank, rows[i].b, NULL);
		cr_assert_eq(case_status(o), rows[i].status, "row %zu: %s", i, o->err.message);
		case_free(o);
	}
}

Test(matmul, vectors)
{
	check_vectors(ops_matmul, 3, NULL);
}
