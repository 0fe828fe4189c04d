/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <math.h>

#include "harness.h"
#include "ops/family.h"

Test(reduce, vectors)
{
	check_vectors(ops_reduce, 70, NULL);
}

static const char *const names[] = {
	"ReduceL1",   "ReduceL2",  "ReduceLogSum", "ReduceLogSumExp", "ReduceMax",
	"ReduceMean", "ReduceMin", "ReduceProd",   "ReduceSum",       "ReduceSumSquare",
};
#define NAMES 10

/* Axes on a tensor of shape [2, 3, 4, 5]. */
static const struct { int n; int64_t axes[4]; } sets[] = {
	{1, {3}},         {1, {0}},          {1, {1}}, {2, {2, 3}}, {2, {0, 2}},
	{3, {0, -2, -1}}, {4, {0, 1, 2, 3}}, {0, {0}}, {2, {3, 0}},
};
#define SETS (int)(sizeof sets / sizeof *sets)

/* By the definition, from a plain list of values. */
static double direct(const char *name, const double *v, int n)
{
	double sum = 0, abs_sum = 0, square = 0, product = 1, largest = v[0], smallest = v[0], exps = 0;

	for (int i = 0; i < n; i++) {
		sum += v[i];
		abs_sum += fabs(v[i]);
		square += v[i] * v[i];
		product *= v[i];
		exps += exp(v[i]);
		largest = fmax(largest, v[i]);
		smallest = fmin(smallest, v[i]);
	}
	for (int k = 0; k < NAMES; k++)
		if (name == names[k])
			return (double[]){abs_sum, sqrt(square), log(sum), log(exps), largest,
			                  sum / n, smallest,     product,  sum,       square}[k];
	return NAN;
}

static bool in_set(int set, int axis)
{
	for (int i = 0; i < sets[set].n; i++)
		if ((sets[set].axes[i] + 4) % 4 == axis)
			return true;
	return sets[set].n == 0;
}

/* Elements of x that reduce to the same place as output element `at`, into v. */
static int gather(const struct tensor *x, int set, int64_t at, double *v)
{
	int n = 0;

	for (int64_t i = 0; i < x->count; i++) {
		int64_t rest = i, place = 0, stride = 1;

		for (int axis = x->rank - 1; axis >= 0; axis--) {
			int64_t index = rest % x->dims[axis];

			rest /= x->dims[axis];
			if (in_set(set, axis))
				continue;
			place += index * stride;
			stride *= x->dims[axis];
		}
		if (place == at)
			v[n++] = tensor_get(x, i);
	}
	return n;
}

static struct op_case *make(const char *name, int set, int opset, bool keep)
{
	struct op_case *c = case_new(ops_reduce, name, opset);
	double axes[4];

	case_int(c, "keepdims", keep);
	case_in_range(c, DT_DOUBLE, SHAPE(2, 3, 4, 5), 0.5, 1.5);
	for (int i = 0; i < sets[set].n; i++)
		axes[i] = (double)sets[set].axes[i];
	if (c->node.op->max_in == 1 && sets[set].n)
		case_ints(c, "axes", sets[set].n, sets[set].axes);
	else if (c->node.op->max_in == 2)
		case_in(c, DT_INT64, 1, DIMS(sets[set].n), axes);
	return c;
}

Test(reduce, values_by_definition)
{
	for (int k = 0; k < NAMES; k++) {
		for (int set = 0; set < SETS; set++) {
			for (int form = 0; form < 4; form++) {
				struct op_case *c = make(names[k], set, form & 1 ? 18 : 11, form & 2);
				double v[120];

				case_run(c);
				for (int64_t i = 0; i < c->out[0].count; i++) {
					int n = gather(&c->in[0], set, i, v);

					cr_assert_float_eq(tensor_get(&c->out[0], i), direct(names[k], v, n), 1e-9, "%s, set %d",
					                   names[k], set);
				}
				cr_assert(!(form & 2) || c->out[0].rank == 4, "keepdims");
				case_free(c);
			}
		}
	}
}

Test(reduce, reverse)
{
	for (int k = 0; k < NAMES; k++) {
		for (int set = 0; set < SETS; set++) {
			struct op_case *c = make(names[k], set, 18, set & 1);

			check_reverse(c, 1);
			case_free(c);
		}
	}
}

/* The product of the other factors where some are zero; a tie of extremes goes to one place. */
Test(reduce, reverse_of_product_with_zeros)
{
	struct op_case *c = case_new(ops_reduce, "ReduceProd", 18);

	case_in(c, DT_DOUBLE, SHAPE(3, 3), VALUES(2, 3, 4, 0, 3, 4, 0, 0, 4));
	case_in(c, DT_INT64, SHAPE(1), VALUES(1));
	check_reverse(c, 1);
	case_free(c);
}

Test(reduce, noop_keeps_the_map)
{
	struct op_case *c = case_new(ops_reduce, "ReduceSumSquare", 18);

	case_int(c, "noop_with_empty_axes", 1);
	case_in(c, DT_FLOAT, SHAPE(2, 2), VALUES(1, -2, 3, 4));
	case_in(c, DT_INT64, SHAPE(0), NULL);
	case_run(c);
	case_expect(c, 0, DT_FLOAT, SHAPE(2, 2), VALUES(1, 4, 9, 16), 0);
	case_free(c);
}

static const struct { const char *name; double empty; } empties[] = {
	{"ReduceL1", 0},
	{"ReduceL2", 0},
	{"ReduceLogSum", -INFINITY},
	{"ReduceLogSumExp", -INFINITY},
	{"ReduceMax", -INFINITY},
	{"ReduceMean", NAN},
	{"ReduceMin", INFINITY},
	{"ReduceProd", 1},
	{"ReduceSum", 0},
};

Test(reduce, nothing_to_reduce)
{
	for (size_t k = 0; k < sizeof empties / sizeof *empties; k++) {
		struct op_case *c = case_new(ops_reduce, empties[k].name, 18);

		case_in(c, DT_FLOAT, SHAPE(2, 0), NULL);
		case_in(c, DT_INT64, SHAPE(1), VALUES(1));
		case_run(c);
		case_expect(c, 0, DT_FLOAT, SHAPE(2, 1), (double[]){empties[k].empty, empties[k].empty}, 0);
		case_free(c);
	}
}

Test(reduce, integers)
{
	static const struct { const char *name; double want; } whole[] = {
		{"ReduceSum", -2}, {"ReduceL1", 12},    {"ReduceMax", 4},        {"ReduceMin", -7},
		{"ReduceMean", 0}, {"ReduceProd", -28}, {"ReduceSumSquare", 66}, {"ReduceL2", 8},
	};

	for (size_t k = 0; k < sizeof whole / sizeof *whole; k++) {
		struct op_case *c = case_new(ops_reduce, whole[k].name, 18);

		case_int(c, "keepdims", 0);
		case_in(c, DT_INT32, SHAPE(3), VALUES(-7, 1, 4));
		case_run(c);
		case_expect(c, 0, DT_INT32, 0, NULL, (double[]){whole[k].want}, 0);
		case_free(c);
	}
}

/* Sums of squares wrap, and a root may not fit either: no result is worth anything, but there is one. */
Test(reduce, roots_of_wrapped_sums)
{
	static const enum dtype types[] = {DT_INT32, DT_INT64, DT_UINT32, DT_UINT64};
	static const double most[] = {INT32_MAX, 3037000499.0, UINT32_MAX, UINT32_MAX};

	for (int k = 0; k < 4; k++) {
		struct op_case *c = case_new(ops_reduce, "ReduceL2", 18);

		case_int(c, "keepdims", 0);
		case_in(c, types[k], SHAPE(2), VALUES(most[k], most[k]));
		case_run(c);
		case_expect(c, 0, types[k], 0, NULL, types[k] == DT_INT64 ? VALUES(0) : NULL, 0);
		case_free(c);
	}
}

Test(reduce, large_exponents)
{
	struct op_case *c = case_new(ops_reduce, "ReduceLogSumExp", 18);

	case_in(c, DT_FLOAT, SHAPE(4, 2), VALUES(1000, 1000, -1000, -1000, INFINITY, 0, -INFINITY, -INFINITY));
	case_in(c, DT_INT64, SHAPE(1), VALUES(1));
	case_run(c);
	case_expect(c, 0, DT_FLOAT, SHAPE(4, 1), VALUES(1000 + log(2), -1000 + log(2), INFINITY, -INFINITY),
	            1e-6);
	case_free(c);
}

Test(reduce, errors)
{
	static const double bad[][2] = {{2, 0}, {-3, 0}, {0, -2}};

	for (int k = 0; k < 3; k++) {
		struct op_case *c = case_new(ops_reduce, "ReduceMean", 18);

		case_in(c, DT_FLOAT, SHAPE(2, 3), NULL);
		case_in(c, DT_INT64, SHAPE(2), bad[k]);
		cr_assert_eq(case_status(c), TAMIS_E_INVALID, "axes %g, %g", bad[k][0], bad[k][1]);
		case_free(c);
	}
	struct op_case *c = case_new(ops_reduce, "ReduceSum", 13);

	case_in(c, DT_STRING, SHAPE(2, 3), NULL);
	cr_assert_eq(case_status(c), TAMIS_E_UNSUPPORTED);
	case_free(c);
}
