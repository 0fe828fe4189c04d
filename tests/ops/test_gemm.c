/* SPDX-License-Identifier: Apache-2.0 */
/* Gemm in all its forms against the definition, reverse against differences, the linear view against run. */
#include <criterion/criterion.h>
#include <math.h>

#include "harness.h"
#include "ops/family.h"

/* The forms of C: rank and which axes it has in full. */
static const struct { int rank; bool rows, cols; } c_forms[] = {
	{-1, false, false}, {0, false, false}, {1, false, false}, {1, false, true}, {2, false, false},
	{2, false, true}, {2, true, false}, {2, true, true},
};
enum { C_FORMS = sizeof c_forms / sizeof *c_forms };

struct form { bool ta, tb; int c; double alpha, beta; int64_t m, n, k; };

static struct op_case *open_case(const struct form *f, enum dtype type)
{
	struct op_case *o = case_new(ops_gemm, "Gemm", 13);
	int64_t c[2] = {c_forms[f->c].rows ? f->m : 1, c_forms[f->c].cols ? f->n : 1};

	case_int(o, "transA", f->ta);
	case_int(o, "transB", f->tb);
	case_float(o, "alpha", f->alpha);
	case_float(o, "beta", f->beta);
	case_in(o, type, 2, DIMS(f->ta ? f->k : f->m, f->ta ? f->m : f->k), NULL);
	case_in(o, type, 2, DIMS(f->tb ? f->n : f->k, f->tb ? f->k : f->n), NULL);
	if (c_forms[f->c].rank >= 0)
		case_in(o, type, c_forms[f->c].rank, c + 2 - c_forms[f->c].rank, NULL);
	return o;
}

static double element(const struct form *f, const struct op_case *o, int64_t i, int64_t j)
{
	int64_t row = c_forms[f->c].rows ? i : 0, col = c_forms[f->c].cols ? j : 0;
	double sum = 0;

	for (int64_t l = 0; l < f->k; l++)
		sum += tensor_get(&o->in[0], f->ta ? l * f->m + i : i * f->k + l) *
		       tensor_get(&o->in[1], f->tb ? j * f->k + l : l * f->n + j);
	sum *= (float)f->alpha;
	if (c_forms[f->c].rank >= 0 && f->beta != 0)
		sum += (float)f->beta * tensor_get(&o->in[2], row * (c_forms[f->c].cols ? f->n : 1) + col);
	return sum;
}

static void compare(const struct form *f, enum dtype type)
{
	struct op_case *o = open_case(f, type);
	double *y = arena_array(&o->arena, (size_t)(f->m * f->n) + 1, sizeof *y);

	for (int64_t i = 0; i < f->m * f->n; i++)
		y[i] = element(f, o, i / f->n, i % f->n);
	case_run(o);
	case_expect(o, 0, type, SHAPE(f->m, f->n), y, type == DT_FLOAT ? 1e-5 : type == DT_DOUBLE ? 1e-12 : 0);
	case_free(o);
}

static struct form form_of(int i)
{
	static const struct { int64_t m, n, k; } sizes[] = {{1, 1, 1}, {3, 4, 2}, {1, 7, 5},
	                                                    {6, 1, 3}, {4, 4, 4}, {2, 3, 0}};
	static const struct { double alpha, beta; } scales[] = {{1, 1}, {0.5, 2}, {1, 0}, {0, 1}};

	return (struct form){.ta = i & 1, .tb = i & 2, .c = i / 4 % C_FORMS, .m = sizes[i / 32 % 6].m,
	                     .n = sizes[i / 32 % 6].n, .k = sizes[i / 32 % 6].k, .alpha = scales[i / 192 % 4].alpha,
	                     .beta = scales[i / 192 % 4].beta};
}

Test(gemm, every_form)
{
	static const enum dtype types[] = {DT_FLOAT, DT_DOUBLE, DT_INT32, DT_UINT32, DT_INT64, DT_UINT64};

	for (int t = 0; t < 6; t++)
		for (int i = 0; i < 4 * C_FORMS * 6 * 4; i++) {
			struct form f = form_of(i);

			if (t >= 2 && f.alpha == 0.5)
				f.alpha = 2;
			compare(&f, types[t]);
		}
}

/* A C that beta silences may hold anything. */
Test(gemm, beta_zero_ignores_nan)
{
	struct op_case *o = case_new(ops_gemm, "Gemm", 7);

	case_float(o, "beta", 0);
	case_in(o, DT_FLOAT, SHAPE(1, 2), VALUES(1, 2));
	case_in(o, DT_FLOAT, SHAPE(2, 1), VALUES(3, 4));
	case_in(o, DT_FLOAT, SHAPE(1), VALUES(NAN));
	case_run(o);
	case_expect(o, 0, DT_FLOAT, SHAPE(1, 1), VALUES(11), 0);
	case_free(o);
}

Test(gemm, reverse)
{
	for (int i = 0; i < 4 * C_FORMS * 6; i++) {
		struct form f = form_of(i);
		struct op_case *o;

		f.alpha = 0.75;
		f.beta = -1.5;
		o = open_case(&f, DT_DOUBLE);
		check_reverse(o, c_forms[f.c].rank >= 0 ? 7 : 3);
		case_free(o);
	}
}

static void check_linear(const struct form *f, enum dtype type, int64_t items)
{
	struct op_case *o = open_case(f, type);
	const struct tensor *in[3] = {&o->in[0], &o->in[1], &o->in[2]};
	struct tensor *out[1] = {&o->out[0]};
	struct op_call call = {.node = &o->node, .n_in = o->node.n_in, .n_out = 1, .in = in, .out = out,
	                       .err = &o->err};
	const struct linear_op *l = o->node.op->linear;
	struct linear_view v;
	int64_t n = f->m / items, pos[8];
	float *u, *z;

	case_run(o);
	cr_assert_eq(l->describe(&o->node, in, o->node.n_in, &v, &o->err), TAMIS_OK, "%s", o->err.message);
	cr_assert_eq(l->positions(&call, &v, items), n);
	cr_assert_eq(l->positions(&call, &v, f->m + 1), 0);
	cr_assert_eq(v.bias == 2, c_forms[f->c].rank < 0 || (!c_forms[f->c].rows && (c_forms[f->c].cols)));
	u = arena_array(&o->arena, (size_t)(f->m * v.fan_in), sizeof *u);
	z = arena_array(&o->arena, (size_t)(f->m * v.outs), sizeof *z);
	for (int i = 0; i < n; i++)
		pos[i] = n - 1 - i;
	cr_assert_eq(l->gather(&call, &v, items, pos, n, u), TAMIS_OK);
	cr_assert_eq(l->gather_out(&call, &v, out[0], items, pos, n, z), TAMIS_OK);
	for (int64_t i = 0; v.bias == 2 && i < f->m * v.outs; i++) {
		double sum = call.n_in > 2 ? v.bias_scale * tensor_get(in[2], i % v.outs) : 0;

		for (int64_t d = 0; d < v.fan_in; d++)
			sum += v.weight_scale * u[i / v.outs * v.fan_in + d] *
			       tensor_get(in[1], i % v.outs * v.stride_out + d * v.stride_channel);
		cr_assert_float_eq(z[i], sum, 1e-4, "output %lld is %g, signals give %g", (long long)i, z[i], sum);
	}
	case_free(o);
}

Test(gemm, linear)
{
	for (int tb = 0; tb < 2; tb++)
		for (int c = 0; c < C_FORMS; c++)
			for (int64_t items = 1; items <= 6; items++) {
				struct form f = {.tb = tb, .c = c, .m = 6, .n = 5, .k = 4, .alpha = 0.5, .beta = 3};

				if (6 % items == 0)
					check_linear(&f, items % 2 ? DT_FLOAT : DT_DOUBLE, items);
			}
}

Test(gemm, linear_refuses_transposed_data)
{
	struct form f = {.ta = true, .c = 3, .m = 2, .n = 3, .k = 4, .alpha = 1, .beta = 1};
	struct op_case *o = open_case(&f, DT_FLOAT);
	const struct tensor *in[3] = {&o->in[0], &o->in[1], &o->in[2]};
	struct linear_view v;

	case_run(o);
	cr_assert_eq(o->node.op->linear->describe(&o->node, in, 3, &v, &o->err), TAMIS_E_UNSUPPORTED);
	case_free(o);
}

Test(gemm, hostile)
{
	static const struct {
		int a_rank;
		int64_t a[3];
		int b_rank;
		int64_t b[3];
		int c_rank;
		int64_t c[3];
		enum dtype type;
		enum tamis_status status;
	} rows[] = {
		{2, {2, 3}, 2, {4, 5}, 1, {5}, DT_FLOAT, TAMIS_E_INVALID},
		{1, {3}, 2, {3, 5}, 1, {5}, DT_FLOAT, TAMIS_E_INVALID},
		{2, {2, 3}, 3, {1, 3, 5}, 1, {5}, DT_FLOAT, TAMIS_E_INVALID},
		{2, {2, 3}, 2, {3, 5}, 1, {2}, DT_FLOAT, TAMIS_E_INVALID},
		{2, {2, 3}, 2, {3, 5}, 2, {5, 1}, DT_FLOAT, TAMIS_E_INVALID},
		{2, {2, 3}, 2, {3, 5}, 3, {1, 2, 5}, DT_FLOAT, TAMIS_E_INVALID},
		{2, {2, 3}, 2, {3, 5}, 2, {0, 5}, DT_FLOAT, TAMIS_E_INVALID},
		{2, {2, 3}, 2, {3, 5}, 1, {5}, DT_INT8, TAMIS_E_UNSUPPORTED},
		{2, {0, INT64_MAX}, 2, {INT64_MAX, 0}, 0, {0}, DT_FLOAT, TAMIS_E_UNSUPPORTED},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct op_case *o = case_new(ops_gemm, "Gemm", 13);

		case_in(o, rows[i].type, rows[i].a_rank, rows[i].a, NULL);
		case_in(o, rows[i].type, rows[i].b_rank, rows[i].b, NULL);
		case_in(o, rows[i].type, rows[i].c_rank, rows[i].c, NULL);
		cr_assert_eq(case_status(o), rows[i].status, "row %zu: %s", i, o->err.message);
		case_free(o);
	}
}

Test(gemm, vectors)
{
	check_vectors(ops_gemm, 11, NULL);
}
