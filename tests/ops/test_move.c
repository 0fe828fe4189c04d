/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "ops/args.h"
#include "ops/family.h"
#include "ops/strided.h"

Test(move, vectors)
{
	check_vectors(ops_move, 18, NULL);
}

/* ---- The strided walk against its definition ---- */

static int64_t reach(const struct strided *s, const int64_t *stride, int64_t *low)
{
	int64_t high = 0;

	*low = 0;
	for (int i = 0; i < s->rank; i++) {
		int64_t far = stride[i] * (s->dims[i] - 1);

		*low += far < 0 ? far : 0;
		high += far > 0 ? far : 0;
	}
	return high - *low + 1;
}

/* A random walk: dims 1 to 40, `to` a permuted dense layout (no element twice), `from` any strides. */
static void random_walk(struct rng *r, struct strided *s, bool sums)
{
	int order[5];
	int64_t stride = 1;

	s->rank = 1 + (int)rng_below(r, 5);
	for (int i = 0; i < s->rank; i++) {
		s->dims[i] = 1 + (int64_t)rng_below(r, s->rank < 3 ? 80 : 7);
		s->from[i] = (int64_t)rng_below(r, 3) * (int64_t)rng_below(r, 40) * (rng_below(r, 3) ? 1 : -1);
		if (!rng_below(r, 3))
			s->from[i] = 1;
		order[i] = i;
	}
	for (int i = s->rank - 1; i > 0; i--) {
		int j = (int)rng_below(r, (uint64_t)i + 1), kept = order[i];

		order[i] = order[j];
		order[j] = kept;
	}
	for (int i = s->rank - 1; i >= 0; i--) {
		s->to[order[i]] = sums && !rng_below(r, 3) ? 0 : stride;
		stride *= s->dims[order[i]];
	}
}

/* Position of step k of the walk on one side. */
static int64_t place(const struct strided *s, const int64_t *stride, int64_t k)
{
	int64_t at = 0;

	for (int i = s->rank - 1; i >= 0; i--) {
		at += k % s->dims[i] * stride[i];
		k /= s->dims[i];
	}
	return at;
}

static int64_t steps(const struct strided *s)
{
	int64_t n = 1;

	for (int i = 0; i < s->rank; i++)
		n *= s->dims[i];
	return n;
}

Test(strided, copies_as_defined)
{
	static const size_t sizes[] = {1, 2, 4, 8, 16};
	struct rng r = rng_make(11, 0);

	for (int round = 0; round < 600; round++) {
		size_t size = sizes[round % 5];
		struct strided s;
		int64_t low, n, m;
		char *from, *to, *want;

		random_walk(&r, &s, false);
		n = reach(&s, s.from, &low);
		m = steps(&s);
		from = malloc((size_t)n * size);
		to = calloc((size_t)m, size);
		want = calloc((size_t)m, size);
		cr_assert(from && to && want);
		for (size_t i = 0; i < (size_t)n * size; i++)
			from[i] = (char)rng_next(&r);
		for (int64_t k = 0; k < m; k++)
			memcpy(want + place(&s, s.to, k) * (int64_t)size,
			       from + (place(&s, s.from, k) - low) * (int64_t)size, size);
		strided_copy(&s, size, from - low * (int64_t)size, to);
		cr_assert_eq(memcmp(to, want, (size_t)m * size), 0, "round %d, size %zu", round, size);
		free(from);
		free(to);
		free(want);
	}
}

Test(strided, adds_as_defined)
{
	struct rng r = rng_make(12, 0);

	for (int round = 0; round < 600; round++) {
		enum dtype type = round % 2 ? DT_FLOAT : DT_DOUBLE;
		struct strided s;
		struct tensor from = {.type = type}, to = {.type = type};
		double *want;
		int64_t low, zero;

		random_walk(&r, &s, true);
		from.count = reach(&s, s.from, &low);
		to.count = reach(&s, s.to, &zero);
		want = calloc((size_t)to.count, sizeof *want);
		cr_assert(want && !tensor_alloc(&from, NULL) && !tensor_alloc(&to, NULL));
		for (int64_t i = 0; i < from.count; i++)
			tensor_set(&from, i, (double)rng_below(&r, 100)); /* sums are exact */
		for (int64_t i = 0; i < to.count; i++)
			tensor_set(&to, i, want[i] = (double)rng_below(&r, 100));
		for (int64_t k = 0; k < steps(&s); k++)
			want[place(&s, s.to, k)] += tensor_get(&from, place(&s, s.from, k) - low);
		strided_add(&s, type, (char *)from.data - low * (int64_t)args_element(type), to.data);
		for (int64_t i = 0; i < to.count; i++)
			cr_assert_eq(tensor_get(&to, i), want[i], "round %d element %lld", round, (long long)i);
		tensor_free(&from);
		tensor_free(&to);
		free(want);
	}
}

Test(strided, empty_walks_do_nothing)
{
	struct strided s;

	strided_init(&s, 3, DIMS(INT64_MAX, 0, INT64_MAX));
	strided_copy(&s, 4, NULL, NULL);
	strided_add(&s, DT_FLOAT, NULL, NULL);
}

/* ---- Operators ---- */

static void ints_in(struct op_case *c, int n, const int64_t *values)
{
	struct tensor *t = case_in(c, DT_INT64, 1, DIMS(n), NULL);

	for (int i = 0; i < n; i++)
		((int64_t *)t->data)[i] = values[i];
}

/* All 24 permutations of four axes: transposing by one and then by its inverse gives the input back. */
Test(move, transpose_inverts)
{
	int64_t dims[4] = {2, 33, 3, 40};

	for (int code = 0; code < 256; code++) {
		int64_t perm[4] = {code & 3, code >> 2 & 3, code >> 4 & 3, code >> 6}, back[4];
		struct op_case *a, *b;
		unsigned seen = 0;

		for (int i = 0; i < 4; i++) {
			seen |= 1U << perm[i];
			back[perm[i]] = i;
		}
		a = case_new(ops_move, "Transpose", 13);
		case_ints(a, "perm", 4, perm);
		case_in(a, code % 3 ? DT_FLOAT : DT_FLOAT16, 4, dims, NULL);
		if (seen != 15) {
			cr_expect_eq(case_status(a), TAMIS_E_INVALID, "perm code %d", code);
			case_free(a);
			continue;
		}
		case_run(a);
		b = case_new(ops_move, "Transpose", 1);
		case_ints(b, "perm", 4, back);
		*case_in(b, a->in[0].type, 4, a->out[0].dims, NULL) = a->out[0];
		case_run(b);
		cr_assert(tensor_same_shape(&b->out[0], &a->in[0]));
		cr_assert_eq(memcmp(b->out[0].data, a->in[0].data, tensor_bytes(&a->in[0])), 0, "perm code %d", code);
		case_free(a);
		case_free(b);
	}
}

Test(move, transpose_refuses)
{
	static const int64_t perms[][3] = {{0, 1, 3}, {-1, 0, 1}, {0, 0, 1}, {INT64_MAX, 0, 1}};

	for (size_t i = 0; i < sizeof perms / sizeof *perms; i++) {
		struct op_case *c = case_new(ops_move, "Transpose", 13);

		case_ints(c, "perm", 3, perms[i]);
		case_in(c, DT_FLOAT, SHAPE(2, 3, 4), NULL);
		cr_expect_eq(case_status(c), TAMIS_E_INVALID, "perm %zu", i);
		case_free(c);
	}
	for (int n = 0; n < 5; n++) {
		struct op_case *c = case_new(ops_move, "Transpose", 13);

		case_ints(c, "perm", n, (const int64_t[]){2, 1, 0, 3, 4});
		case_in(c, n == 3 ? DT_INT4 : DT_FLOAT, SHAPE(2, 3, 4), NULL);
		cr_expect_eq(case_status(c), n == 3 ? TAMIS_E_UNSUPPORTED : TAMIS_E_INVALID, "%d axes", n);
		case_free(c);
	}
}

Test(move, reverse)
{
	struct op_case *c = case_new(ops_move, "Transpose", 13);

	case_ints(c, "perm", 3, DIMS(2, 0, 1));
	case_in(c, DT_DOUBLE, SHAPE(2, 3, 4), NULL);
	check_reverse(c, 1);
	case_free(c);
	c = case_new(ops_move, "Expand", 13);
	case_in(c, DT_DOUBLE, SHAPE(3, 1), NULL);
	ints_in(c, 3, DIMS(2, 1, 4));
	check_reverse(c, 1);
	case_free(c);
	c = case_new(ops_move, "Tile", 13);
	case_in(c, DT_DOUBLE, SHAPE(2, 3, 1), NULL);
	ints_in(c, 3, DIMS(2, 1, 3));
	check_reverse(c, 1);
	case_free(c);
	c = case_new(ops_move, "ReverseSequence", 10);
	case_in(c, DT_DOUBLE, SHAPE(4, 3, 2), NULL);
	ints_in(c, 3, DIMS(4, 0, 2));
	check_reverse(c, 1);
	case_free(c);
}

/* SpaceToDepth undoes DepthToSpace in the mode that it has. */
Test(move, blocks_invert)
{
	for (int crd = 0; crd < 2; crd++) {
		struct op_case *a = case_new(ops_move, "DepthToSpace", 13);
		struct op_case *b = case_new(ops_move, "SpaceToDepth", 13);

		case_string(a, "mode", crd ? "CRD" : "DCR");
		case_int(a, "blocksize", 3);
		case_in(a, DT_DOUBLE, SHAPE(2, 18, 2, 3), NULL);
		check_reverse(a, 1);
		case_string(b, "mode", crd ? "CRD" : "DCR");
		case_int(b, "blocksize", 3);
		*case_in(b, DT_DOUBLE, 4, a->out[0].dims, NULL) = a->out[0];
		check_reverse(b, 1);
		cr_assert(tensor_same_shape(&b->out[0], &a->in[0]));
		cr_assert_eq(memcmp(b->out[0].data, a->in[0].data, tensor_bytes(&a->in[0])), 0);
		case_free(a);
		case_free(b);
	}
}

Test(move, blocks_refuse)
{
	static const int64_t sizes[] = {0, -1, 5, INT64_MAX, INT64_MIN, INT64_C(1) << 32};

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		for (int k = 0; k < 2; k++) {
			struct op_case *c = case_new(ops_move, k ? "DepthToSpace" : "SpaceToDepth", 13);

			case_int(c, "blocksize", sizes[i]);
			case_in(c, DT_FLOAT, SHAPE(1, 4, 4, 4), NULL);
			cr_expect_eq(case_status(c), TAMIS_E_INVALID, "block %zu", i);
			case_free(c);
		}
}

struct pair { const char *name; int n; int64_t values[4]; enum tamis_status status; };

/* The input is 1 x 3. */
Test(move, expand_and_tile_refuse)
{
	static const struct pair cases[] = {
		{"Expand", 2, {2, 3}, TAMIS_OK}, {"Expand", 3, {4, 2, 1}, TAMIS_OK}, {"Expand", 2, {0, 3}, TAMIS_OK},
		{"Expand", 2, {2, 2}, TAMIS_E_INVALID}, {"Expand", 2, {-1, 3}, TAMIS_E_INVALID},
		{"Expand", 3, {INT64_MAX, INT64_MAX, 3}, TAMIS_E_INVALID},
		{"Tile", 2, {2, 0}, TAMIS_OK}, {"Tile", 2, {-1, 1}, TAMIS_E_INVALID},
		{"Tile", 1, {2}, TAMIS_E_INVALID},
		{"Tile", 2, {1, INT64_MAX}, TAMIS_E_INVALID}, {"Tile", 2, {INT64_MAX, 1}, TAMIS_E_INVALID},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct op_case *c = case_new(ops_move, cases[i].name, 13);

		case_in(c, DT_FLOAT, SHAPE(1, 3), NULL);
		ints_in(c, cases[i].n, cases[i].values);
		cr_expect_eq(case_status(c), cases[i].status, "case %zu: %s", i, c->err.message);
		case_free(c);
	}
}

Test(move, reverse_sequence_checks_lengths)
{
	for (int64_t length = -1; length <= 5; length++) {
		struct op_case *c = case_new(ops_move, "ReverseSequence", 10);

		case_in(c, DT_FLOAT, SHAPE(4, 2), NULL);
		ints_in(c, 2, DIMS(1, length));
		cr_expect_eq(case_forward(c), length < 0 || length > 4 ? TAMIS_E_INVALID : TAMIS_OK);
		case_free(c);
	}
	for (int64_t axis = -1; axis <= 2; axis++) {
		struct op_case *c = case_new(ops_move, "ReverseSequence", 10);

		case_int(c, "time_axis", axis);
		case_in(c, DT_FLOAT, SHAPE(4, 2), NULL);
		ints_in(c, 2, DIMS(1, 1));
		cr_expect_eq(case_status(c), axis == 0 ? TAMIS_OK : TAMIS_E_INVALID);
		case_free(c);
	}
}
