/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/rng.h"
#include "base/tensor.h"

static struct tensor make(enum dtype type, int64_t n)
{
	struct tensor t = {0};

	cr_assert_eq(tensor_shape(&t, type, 1, &n, NULL), TAMIS_OK);
	cr_assert_eq(tensor_alloc(&t, NULL), TAMIS_OK);
	return t;
}

Test(tensor, shapes_are_checked)
{
	int64_t many[TENSOR_MAX_RANK + 1] = {0};
	static const struct {
		int64_t dims[3];
		int rank;
		enum dtype type;
		enum tamis_status want;
		int64_t count;
		size_t bytes;
	} cases[] = {
		{{0}, 0, DT_FLOAT, TAMIS_OK, 1, 4},
		{{2, 3}, 2, DT_DOUBLE, TAMIS_OK, 6, 48},
		{{0, INT64_MAX}, 2, DT_FLOAT, TAMIS_OK, 0, 0},
		{{3}, 1, DT_INT4, TAMIS_OK, 3, 2},
		{{5}, 1, DT_UINT2, TAMIS_OK, 5, 2},
		{{2}, 1, DT_STRING, TAMIS_OK, 2, 2 * sizeof(struct tm_string)},
		{{INT64_MAX}, 1, DT_INT4, TAMIS_OK, INT64_MAX, (size_t)INT64_MAX / 2 + 1},
		{{-1}, 1, DT_FLOAT, TAMIS_E_INVALID, 0, 0},
		{{1LL << 32, 1LL << 32}, 2, DT_UINT8, TAMIS_E_INVALID, 0, 0},
		{{INT64_MAX / 2}, 1, DT_FLOAT, TAMIS_E_INVALID, 0, 0},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct tensor t = {.count = -7};
		struct tamis_error e = {0};

		cr_assert_eq(tensor_shape(&t, cases[i].type, cases[i].rank, cases[i].dims, &e), cases[i].want, "case %zu", i);
		cr_assert_eq(e.status, cases[i].want);
		cr_assert_eq(t.count, cases[i].want ? -7 : cases[i].count, "case %zu", i);
		if (!cases[i].want)
			cr_assert_eq(tensor_bytes(&t), cases[i].bytes, "case %zu", i);
	}
	struct tensor t = {0};
	cr_assert_eq(tensor_shape(&t, DT_FLOAT, TENSOR_MAX_RANK + 1, many, NULL), TAMIS_E_UNSUPPORTED);
	cr_assert_eq(tensor_shape(&t, DT_FLOAT, TENSOR_MAX_RANK, many, NULL), TAMIS_OK);
	cr_assert_eq(tensor_shape(&t, DT_FLOAT, 10000, many, NULL), TAMIS_E_UNSUPPORTED);
}

Test(tensor, describe_and_extent)
{
	struct tensor t = {0};
	char buf[128], tiny[8];

	tensor_shape(&t, DT_FLOAT, 4, (int64_t[]){1, 3, 224, 225}, NULL);
	cr_assert_str_eq(tensor_describe(&t, buf, sizeof buf), "float[1,3,224,225]");
	cr_assert_str_eq(tensor_describe(&t, tiny, sizeof tiny), "float[1");
	cr_assert_eq(tensor_extent(&t, 1, 3), 672);
	cr_assert_eq(tensor_extent(&t, 2, 2), 1);
	tensor_shape(&t, DT_INT64, 0, NULL, NULL);
	cr_assert_str_eq(tensor_describe(&t, buf, sizeof buf), "int64[]");
	for (size_t size = 1; size < 20; size++) {
		memset(tiny, 'x', sizeof tiny);
		char *text = malloc(size); /* its own block, so that a sanitizer sees one byte too many */
		tensor_shape(&t, DT_FLOAT, 3, (int64_t[]){10, 20, 30}, NULL);
		cr_assert_lt(strlen(tensor_describe(&t, text, size)), size);
		free(text);
	}
}

Test(tensor, same_shape_ignores_the_type)
{
	struct tensor a = {0}, b = {0};

	tensor_shape(&a, DT_FLOAT, 2, (int64_t[]){2, 3}, NULL);
	tensor_shape(&b, DT_INT8, 2, (int64_t[]){2, 3}, NULL);
	cr_assert(tensor_same_shape(&a, &b));
	tensor_shape(&b, DT_FLOAT, 2, (int64_t[]){3, 2}, NULL);
	cr_assert(!tensor_same_shape(&a, &b));
	tensor_shape(&b, DT_FLOAT, 3, (int64_t[]){2, 3, 1}, NULL);
	cr_assert(!tensor_same_shape(&a, &b));
}

/* Whatever pattern an element of 16 bits or fewer holds, reading and writing it back gives the same value. */
Test(tensor, get_and_set_are_inverse_for_every_small_pattern)
{
	for (int type = 1; type < DT_COUNT; type++) {
		int bits = dtype_bits(type);

		if (type == DT_STRING || type == DT_BOOL || bits > 16)
			continue;
		struct tensor t = make((enum dtype)type, 65536), back = make((enum dtype)type, 65536);

		for (size_t i = 0; i < tensor_bytes(&t); i++) /* 16 bits count up; fewer repeat all patterns */
			((uint8_t *)t.data)[i] = (uint8_t)(bits == 16 && i % 2 ? i >> 9 : bits == 16 ? i >> 1 : i);
		for (int64_t i = 0; i < t.count; i++) {
			double v = tensor_get(&t, i);

			if (type == DT_FLOAT8E5M2 && isinf(v)) /* saturates */
				v = copysign(57344, v);
			tensor_set(&back, i, v);
			cr_assert(isnan(v) ? isnan(tensor_get(&back, i)) : tensor_get(&back, i) == v, "%s element %lld: %g",
			          dtype_name(type), (long long)i, v);
		}
		if (!memchr("of", dtype_kind(type), 2)) /* a NaN may come back as another one */
			cr_assert_eq(memcmp(t.data, back.data, tensor_bytes(&t)), 0, "%s", dtype_name(type));
		tensor_free(&t);
		tensor_free(&back);
	}
}

Test(tensor, integers_saturate_on_set)
{
	static const double values[] = {-1e300, -INFINITY, -0.9, 0.9, 1e300, INFINITY, NAN, 3.99, -3.99};
	static const struct { enum dtype type; int64_t least; uint64_t largest; } types[] = {
		{DT_INT8, INT8_MIN, INT8_MAX}, {DT_UINT8, 0, UINT8_MAX}, {DT_INT16, INT16_MIN, INT16_MAX},
		{DT_UINT16, 0, UINT16_MAX}, {DT_INT32, INT32_MIN, INT32_MAX}, {DT_UINT32, 0, UINT32_MAX},
		{DT_INT64, INT64_MIN, INT64_MAX}, {DT_UINT64, 0, UINT64_MAX}, {DT_INT4, -8, 7}, {DT_UINT4, 0, 15},
		{DT_INT2, -2, 1}, {DT_UINT2, 0, 3},
	};

	for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
		struct tensor t = make(types[k].type, 9);
		int64_t least = types[k].least, largest = (int64_t)types[k].largest;
		int64_t want[9] = {least, least, 0, 0, largest, largest, 0, 3, -3};

		want[7] = types[k].largest < 3 ? largest : 3;
		want[8] = least > -3 ? least : -3;
		for (int i = 0; i < 9; i++)
			tensor_set(&t, i, values[i]);
		for (int i = 0; i < 9; i++)
			cr_assert_eq(tensor_get_int(&t, i), want[i], "%s of %g: %lld", dtype_name((int)types[k].type), values[i],
			             (long long)tensor_get_int(&t, i));
		tensor_free(&t);
	}
}

Test(tensor, packed_elements_do_not_touch_their_neighbours)
{
	struct rng r = rng_make(5, 0);

	for (int bits = 2; bits <= 4; bits += 2) {
		struct tensor t = make(bits == 2 ? DT_INT2 : DT_UINT4, 101);
		int64_t shadow[101] = {0};

		for (int i = 0; i < 5000; i++) {
			int64_t at = (int64_t)rng_below(&r, 101);

			shadow[at] = bits == 2 ? (int64_t)rng_below(&r, 4) - 2 : (int64_t)rng_below(&r, 16);
			tensor_set(&t, at, (double)shadow[at]);
		}
		for (int i = 0; i < 101; i++)
			cr_assert_eq(tensor_get_int(&t, i), shadow[i]);
		tensor_free(&t);
	}
	struct tensor t = make(DT_UINT4, 2);
	tensor_set(&t, 0, 1);
	tensor_set(&t, 1, 2);
	cr_assert_eq(*(uint8_t *)t.data, 0x21, "low bits first");
	tensor_free(&t);
}

/* Values taken from the definitions of the formats. */
Test(tensor, small_floats_have_their_defined_values)
{
	static const struct { enum dtype type; unsigned bits; double value; } cases[] = {
		{DT_FLOAT8E4M3FN, 0x7e, 448}, {DT_FLOAT8E4M3FN, 0x7f, NAN}, {DT_FLOAT8E4M3FN, 0x01, 0x1p-9},
		{DT_FLOAT8E4M3FN, 0x38, 1}, {DT_FLOAT8E4M3FN, 0xb8, -1}, {DT_FLOAT8E4M3FNUZ, 0x7f, 240},
		{DT_FLOAT8E4M3FNUZ, 0x80, NAN}, {DT_FLOAT8E4M3FNUZ, 0x40, 1}, {DT_FLOAT8E4M3FNUZ, 0x01, 0x1p-10},
		{DT_FLOAT8E5M2, 0x7b, 57344}, {DT_FLOAT8E5M2, 0x7c, INFINITY}, {DT_FLOAT8E5M2, 0xfc, -INFINITY},
		{DT_FLOAT8E5M2, 0x7d, NAN}, {DT_FLOAT8E5M2, 0x01, 0x1p-16}, {DT_FLOAT8E5M2FNUZ, 0x7f, 57344},
		{DT_FLOAT8E5M2FNUZ, 0x80, NAN}, {DT_FLOAT8E5M2FNUZ, 0x01, 0x1p-17}, {DT_FLOAT8E8M0, 0, 0x1p-127},
		{DT_FLOAT8E8M0, 127, 1}, {DT_FLOAT8E8M0, 254, 0x1p127}, {DT_FLOAT8E8M0, 255, NAN},
		{DT_FLOAT4E2M1, 1, 0.5}, {DT_FLOAT4E2M1, 7, 6}, {DT_FLOAT4E2M1, 15, -6}, {DT_FLOAT4E2M1, 3, 1.5},
	};
	static const struct { enum dtype type; double in; unsigned bits; } rounded[] = {
		{DT_FLOAT8E4M3FN, 1e9, 0x7e}, {DT_FLOAT8E4M3FN, -INFINITY, 0xfe}, {DT_FLOAT8E4M3FN, 1.0625, 0x38},
		{DT_FLOAT8E4M3FN, 1.1875, 0x3a}, {DT_FLOAT8E4M3FN, 0x1p-10, 0}, {DT_FLOAT8E4M3FN, 0x1.8p-10, 1},
		{DT_FLOAT8E4M3FNUZ, -1e-9, 0}, {DT_FLOAT8E5M2, 1e9, 0x7b}, {DT_FLOAT4E2M1, 2.5, 4}, {DT_FLOAT4E2M1, 3.5, 6},
		{DT_FLOAT8E8M0, 1.5, 128}, {DT_FLOAT8E8M0, 0, 0}, {DT_FLOAT8E8M0, 1e300, 254}, {DT_FLOAT8E8M0, 1e-300, 0},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct tensor t = make(cases[i].type, 1);

		*(uint8_t *)t.data = (uint8_t)cases[i].bits;
		cr_assert(isnan(cases[i].value) ? isnan(tensor_get(&t, 0)) : tensor_get(&t, 0) == cases[i].value, "case %zu: %g",
		          i, tensor_get(&t, 0));
		tensor_free(&t);
	}
	for (size_t i = 0; i < sizeof rounded / sizeof *rounded; i++) {
		struct tensor t = make(rounded[i].type, 1);

		tensor_set(&t, 0, rounded[i].in);
		cr_assert_eq(*(uint8_t *)t.data, rounded[i].bits, "case %zu: %02x", i, *(uint8_t *)t.data);
		tensor_free(&t);
	}
}

/* Double to half must round once. Just above and below each midpoint, by less than a float can tell. */
Test(tensor, double_to_half_rounds_once)
{
	struct tensor h = make(DT_FLOAT16, 1), b = make(DT_BFLOAT16, 1);

	for (unsigned i = 0x400; i < 0x7bff; i++) {
		double low = half_to_float((uint16_t)i), high = half_to_float((uint16_t)(i + 1)), middle = (low + high) / 2;

		tensor_set(&h, 0, middle * (1 + 0x1p-40));
		cr_assert_eq(*(uint16_t *)h.data, i + 1);
		tensor_set(&h, 0, -middle * (1 - 0x1p-40));
		cr_assert_eq(*(uint16_t *)h.data, 0x8000 | i);
		tensor_set(&h, 0, middle);
		cr_assert_eq(*(uint16_t *)h.data, i & 1 ? i + 1 : i);
	}
	tensor_set(&b, 0, (1 + 0x1p-8) * (1 + 0x1p-40));
	cr_assert_eq(*(uint16_t *)b.data, 0x3f81);
	tensor_set(&h, 0, 1e300);
	cr_assert_eq(*(uint16_t *)h.data, 0x7c00);
	tensor_set(&h, 0, 0x1.0000000001p-25);
	cr_assert_eq(*(uint16_t *)h.data, 1);
	tensor_set(&h, 0, 1e-300);
	cr_assert_eq(*(uint16_t *)h.data, 0);
	tensor_free(&h);
	tensor_free(&b);
}

/* Small whole numbers fit every numeric type: going from any type to any other and back changes nothing. */
Test(tensor, every_pair_of_types_converts_both_ways)
{
	for (int from = 1; from < DT_COUNT; from++)
		for (int to = 1; to < DT_COUNT; to++) {
			if (from == DT_STRING || to == DT_STRING || from == DT_COMPLEX64 || to == DT_COMPLEX64 ||
			    from == DT_COMPLEX128 || to == DT_COMPLEX128)
				continue;
			struct tensor a = make((enum dtype)from, 7), b = make((enum dtype)to, 7), back = make((enum dtype)from, 7);

			for (int i = 0; i < 7; i++) /* 1 is the only value they all have, E8M0 has no 0 */
				tensor_set(&a, i, from == DT_FLOAT8E8M0 || to == DT_FLOAT8E8M0 ? 1 : i % 2);
			cr_assert_eq(tensor_convert(&a, &b, NULL), TAMIS_OK);
			cr_assert_eq(tensor_convert(&b, &back, NULL), TAMIS_OK);
			for (int i = 0; i < 7; i++) {
				cr_assert_eq(tensor_get(&a, i), tensor_get(&b, i), "%s to %s", dtype_name(from), dtype_name(to));
				cr_assert_eq(tensor_get(&a, i), tensor_get(&back, i), "%s to %s", dtype_name(to), dtype_name(from));
			}
			tensor_free(&a);
			tensor_free(&b);
			tensor_free(&back);
		}
}

Test(tensor, integers_wrap_and_keep_64_bits_on_conversion)
{
	struct tensor a = make(DT_INT64, 4), u = make(DT_UINT64, 4), n = make(DT_INT8, 4), f = make(DT_FLOAT, 4);
	int64_t *v = a.data;

	v[0] = (1LL << 62) + 1, v[1] = -1, v[2] = 300, v[3] = (1LL << 53) + 1;
	cr_assert_eq(tensor_convert(&a, &u, NULL), TAMIS_OK);
	cr_assert_eq(((uint64_t *)u.data)[0], (1ULL << 62) + 1);
	cr_assert_eq(((uint64_t *)u.data)[1], UINT64_MAX);
	cr_assert_eq(tensor_convert(&a, &n, NULL), TAMIS_OK);
	cr_assert_eq(((int8_t *)n.data)[2], 44);
	v[0] = 0x4000004000000001; /* to float by way of double it would round to even twice */
	cr_assert_eq(tensor_convert(&a, &f, NULL), TAMIS_OK);
	cr_assert_eq(((float *)f.data)[0], 0x1.000002p62f);
	cr_assert_eq(tensor_convert(&u, &f, NULL), TAMIS_OK);
	cr_assert_eq(((float *)f.data)[1], 0x1p64f);
	tensor_free(&a);
	tensor_free(&u);
	tensor_free(&n);
	tensor_free(&f);
}

Test(tensor, floats_go_toward_zero)
{
	struct tensor f = make(DT_FLOAT, 6), i32 = make(DT_INT32, 6), b = make(DT_BOOL, 6), u64 = make(DT_UINT64, 6);
	static const float in[6] = {2.9f, -2.9f, 0.0f, -0.0f, 0.25f, 0x1p63f};

	memcpy(f.data, in, sizeof in);
	cr_assert_eq(tensor_convert(&f, &i32, NULL), TAMIS_OK);
	cr_assert(((int32_t *)i32.data)[0] == 2 && ((int32_t *)i32.data)[1] == -2 && ((int32_t *)i32.data)[4] == 0);
	cr_assert_eq(tensor_convert(&f, &b, NULL), TAMIS_OK);
	cr_assert_eq(memcmp(b.data, "\1\1\0\0\1\1", 6), 0);
	cr_assert_eq(tensor_convert(&f, &u64, NULL), TAMIS_OK);
	cr_assert_eq(((uint64_t *)u64.data)[5], 1ULL << 63);
	((float *)f.data)[0] = NAN;
	((float *)f.data)[1] = INFINITY;
	cr_assert_eq(tensor_convert(&f, &i32, NULL), TAMIS_OK);
	cr_assert_eq(tensor_convert(&f, &b, NULL), TAMIS_OK);
	cr_assert_eq(((uint8_t *)b.data)[0], 1);
	tensor_free(&f);
	tensor_free(&i32);
	tensor_free(&b);
	tensor_free(&u64);
}

Test(tensor, what_has_no_conversion_is_refused)
{
	struct tensor s = make(DT_STRING, 2), f = make(DT_FLOAT, 2), three = make(DT_FLOAT, 3), s2 = make(DT_STRING, 2);
	struct tensor c = make(DT_COMPLEX64, 2);

	cr_assert_eq(tensor_convert(&s, &f, NULL), TAMIS_E_UNSUPPORTED);
	cr_assert_eq(tensor_convert(&f, &s, NULL), TAMIS_E_UNSUPPORTED);
	cr_assert_eq(tensor_convert(&c, &f, NULL), TAMIS_E_UNSUPPORTED);
	cr_assert_eq(tensor_convert(&s, &s2, NULL), TAMIS_OK);
	cr_assert_eq(tensor_convert(&f, &three, NULL), TAMIS_E_INTERNAL);
	cr_assert_eq(tensor_get(&s, 0), 0);
	tensor_set(&s, 0, 5);
	tensor_free(&s);
	tensor_free(&s2);
	tensor_free(&f);
	tensor_free(&three);
	tensor_free(&c);
	tensor_free(&c);
}
