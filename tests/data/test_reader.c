/* SPDX-License-Identifier: Apache-2.0 */
/* How arrays become items: shapes, types, byte orders, batches. */
#include <math.h>

#include "make.h"

TestSuite(reader, .init = enter_scratch, .fini = leave_scratch);

static const struct data_input image = {.name = "x", .type = DT_FLOAT, .rank = 3, .dims = {-1, 2, 3}};

static void count_warning(void *ctx, const char *sentence)
{
	(void)sentence;
	++*(int *)ctx;
}

Test(reader, items_stack_on_the_first_axis_whatever_the_batch)
{
	struct data_source *s;
	struct feed_reader r;
	struct batch b;

	put_ramp("x.npy", 0, "(50, 2, 3)", 300);
	s = open_one("x.npy", &image, 1);
	cr_assert_eq(data_count(s), 50);
	cr_assert(!data_is_random(s));
	check_ramp(s, 0, 0, 300);
	r = data_reader(s);
	cr_assert_eq(r.rewind(r.self, NULL), TAMIS_OK);
	cr_assert_eq(r.next(r.self, 8, &b, NULL), TAMIS_OK);
	cr_assert(b.items == 8 && b.n == 1 && !b.whole && b.in[0].rank == 3 && b.in[0].count == 48);
	cr_assert_eq(r.next(r.self, 1000, &b, NULL), TAMIS_OK);
	cr_assert(b.first == 8 && b.items == 42 && b.in[0].dims[0] == 42);
	for (int i = 0; i < 3; i++)
		cr_assert(r.next(r.self, 8, &b, NULL) == TAMIS_OK && b.items == 0);
	cr_assert_eq(r.next(r.self, 0, &b, NULL), TAMIS_E_INTERNAL);
	data_close(s);
	data_close(NULL);
}

/* Declared shape, array shape, and what comes of it: items, whole or stacked, shape after the item axis. */
Test(reader, shapes_fit_as_documented)
{
	static const struct {
		int rank;
		int64_t declared[4];
		const char *array;
		int64_t count; /* elements of the array */
		int64_t items; /* 0: refused */
		bool whole;
		int batch_rank; /* of one item fed: with its axis of 1 when stacked */
	} cases[] = {
		{3, {-1, 2, 3}, "(5, 2, 3)", 30, 5, false, 3},
		{3, {1, 2, 3}, "(5, 2, 3)", 30, 5, false, 3},
		{3, {1, 2, 3}, "(5, 1, 2, 3)", 30, 5, false, 3},
		{3, {-1, 2, 3}, "(5, 1, 2, 3)", 30, 5, false, 3},
		{3, {-1, 2, 3}, "(5, 4, 2, 3)", 120, 5, true, 3},
		{3, {4, 2, 3}, "(5, 4, 2, 3)", 120, 5, true, 3},
		{3, {4, 2, 3}, "(8, 2, 3)", 48, 8, false, 3},
		{3, {-1, 2, 3}, "(2, 3)", 6, 1, false, 3},
		{3, {-1, -1, 3}, "(5, 7, 3)", 105, 5, false, 3},
		{1, {-1}, "(5,)", 5, 5, false, 1},
		{1, {-1}, "()", 1, 1, false, 1},
		{1, {3}, "(5, 3)", 15, 5, true, 1},
		{0, {0}, "(5,)", 5, 5, true, 0},
		{0, {0}, "()", 1, 1, true, 0},
		{-1, {0}, "(5, 4)", 20, 5, false, 2},
		{-1, {0}, "()", 1, 1, true, 0},
		{3, {-1, 2, 3}, "(5, 3, 2)", 30, 0, false, 0},
		{3, {-1, 2, 3}, "(5, 6)", 30, 0, false, 0},
		{3, {-1, 2, 3}, "(1, 5, 1, 2, 3)", 30, 0, false, 0},
		{3, {1, 2, 3}, "(5, 2, 2, 3)", 60, 0, false, 0},
		{0, {0}, "(5, 1)", 5, 0, false, 0},
		{3, {-1, 2, 3}, "(0, 2, 3)", 0, 0, false, 0},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct data_input in = {.name = "x", .type = DT_FLOAT, .rank = cases[i].rank};
		const char *spec = "x.npy";
		struct data_source *s;
		struct feed_reader r;
		struct batch b;

		memcpy(in.dims, cases[i].declared, sizeof cases[i].declared);
		put_ramp(spec, 0, cases[i].array, cases[i].count);
		if (cases[i].items == 0) {
			check_refused(spec, &in, 1, TAMIS_E_INVALID, cases[i].count ? "expects" : "no items");
			continue;
		}
		s = open_one(spec, &in, 1);
		cr_assert_eq(data_count(s), cases[i].items, "case %zu", i);
		check_ramp(s, 0, 0, (size_t)cases[i].count);
		r = data_reader(s);
		r.rewind(r.self, NULL);
		cr_assert_eq(r.next(r.self, 1, &b, NULL), TAMIS_OK);
		cr_assert(b.whole == cases[i].whole && b.in[0].rank == cases[i].batch_rank, "case %zu", i);
		data_close(s);
	}
}

Test(reader, a_mismatch_says_what_was_expected_and_what_came)
{
	const char *spec = "x.npy";
	struct tamis_error e = {0};
	struct data_source *s;

	put_ramp(spec, 0, "(5, 3, 2)", 30);
	cr_assert_eq(data_open(&spec, 1, &image, 1, NULL, &s, &e), TAMIS_E_INVALID);
	cr_assert_null(s);
	cr_assert_str_eq(e.file, "x.npy");
	cr_assert_str_eq(e.tensor, "x");
	cr_assert_not_null(strstr(e.message, "float[N,2,3]"), "%s", e.message);
	cr_assert_not_null(strstr(e.message, "float[5,3,2]"), "%s", e.message);
}

/* Every numeric type in both byte orders carries 0, 1, 2, ... and no other input type takes it. */
Test(reader, every_type_in_both_byte_orders)
{
	for (int type = 1; type < DT_COUNT; type++) {
		struct data_input in = {.name = "x", .type = (enum dtype)type, .rank = 1, .dims = {-1}};
		struct tensor t = {0};
		int64_t n = type == DT_BOOL ? 2 : 20;
		int parts = dtype_kind(type) == 'o' ? 2 : 1;

		if (dtype_descr(type)[0] == '\0')
			continue;
		tensor_shape(&t, (enum dtype)type, 1, &n, NULL);
		tensor_alloc(&t, NULL);
		for (int i = 0; i < n; i++)
			tensor_set(&t, i, i);
		for (int big = 0; big < 2; big++) {
			char descr[8];
			struct data_source *s;

			snprintf(descr, sizeof descr, "%c%s", big ? '>' : '<', dtype_descr(type));
			for (size_t i = 0; big && i < tensor_bytes(&t); i += (size_t)(dtype_bits(type) / 8 / parts)) {
				uint8_t *p = (uint8_t *)t.data + i;

				for (int a = 0, b = dtype_bits(type) / 8 / parts - 1; a < b; a++, b--) {
					uint8_t byte = p[a];

					p[a] = p[b];
					p[b] = byte;
				}
			}
			put_npy("x.npy", descr, "False", n == 2 ? "(2,)" : "(20,)", t.data, tensor_bytes(&t));
			s = open_one("x.npy", &in, 1);
			check_ramp(s, 0, 0, (size_t)n);
			data_close(s);
			in.type = type == DT_INT8 ? DT_UINT8 : DT_INT8;
			check_refused("x.npy", &in, 1, TAMIS_E_INVALID, dtype_name(type));
			in.type = (enum dtype)type;
		}
		tensor_free(&t);
	}
}

Test(reader, nothing_is_widened_silently_and_double_is_narrowed_with_a_warning)
{
	static const double values[] = {0, 1, 2, 3, 4, 5};
	struct data_input in = {.name = "x", .type = DT_FLOAT, .rank = 2, .dims = {-1, 3}};
	int warnings = 0;
	struct data_options o = {.warn = count_warning, .warn_ctx = &warnings};
	const char *spec = "x.npy";
	struct data_source *s;

	for (int big = 0; big < 2; big++) {
		double swapped[6];

		for (int i = 0; i < 6; i++) {
			uint64_t bits;

			memcpy(&bits, &values[i], 8);
			bits = big ? __builtin_bswap64(bits) : bits;
			memcpy(&swapped[i], &bits, 8);
		}
		put_npy(spec, big ? ">f8" : "<f8", "False", "(2, 3)", swapped, sizeof swapped);
		cr_assert_eq(data_open(&spec, 1, &in, 1, &o, &s, NULL), TAMIS_OK);
		check_ramp(s, 0, 0, 6);
		data_close(s);
	}
	cr_assert_eq(warnings, 2, "one warning a source, and %d came", warnings);
	in.type = DT_DOUBLE;
	put_ramp(spec, 0, "(2, 3)", 6);
	check_refused(spec, &in, 1, TAMIS_E_INVALID, "double[N,3]");
	in.type = DT_INT64;
	put_npy(spec, "<i4", "False", "(2, 3)", values, 24);
	check_refused(spec, &in, 1, TAMIS_E_INVALID, "int32[2,3]");
}

Test(reader, bfloat16_comes_as_void_of_two_bytes_and_bools_are_made_0_or_1)
{
	static const uint16_t ones[] = {0x3f80, 0x4000, 0x4040};
	struct data_input in = {.name = "x", .type = DT_BFLOAT16, .rank = 1, .dims = {-1}};
	struct data_source *s;
	double *all;
	size_t n;

	put_npy("x.npy", "|V2", "False", "(3,)", ones, 6);
	s = open_one("x.npy", &in, 1);
	check_ramp(s, 0, 1, 3);
	data_close(s);
	in.type = DT_FLOAT16;
	check_refused("x.npy", &in, 1, TAMIS_E_INVALID, "2-byte void[3]");
	in.type = DT_BOOL;
	put_npy("x.npy", "|b1", "False", "(3,)", "\0\1\7", 3);
	s = open_one("x.npy", &in, 1);
	all = drain_input(s, 0, 3, &n);
	cr_assert(all[0] == 0 && all[1] == 1 && all[2] == 1);
	free(all);
	data_close(s);
}

/* The array whose element at (i, j, k) is its own C-order index, stored first axis fastest. */
Test(reader, fortran_order_is_converted)
{
	static float f[5 * 4 * 3];
	struct data_input in = {.name = "x", .type = DT_FLOAT, .rank = 3, .dims = {-1, 4, 3}};
	struct data_options o = {.max_memory = 200};
	const char *spec = "x.npy";
	struct tamis_error e = {0};
	struct data_source *s;
	struct feed_reader r;
	struct batch b;

	for (int i = 0; i < 5; i++)
		for (int j = 0; j < 4; j++)
			for (int k = 0; k < 3; k++)
				f[i + 5 * (j + 4 * k)] = (float)(i * 12 + j * 3 + k);
	put_npy(spec, "<f4", "True", "(5, 4, 3)", f, sizeof f);
	s = open_one(spec, &in, 1);
	check_ramp(s, 0, 0, 60);
	data_close(s);
	cr_assert_eq(data_open(&spec, 1, &in, 1, &o, &s, NULL), TAMIS_OK);
	r = data_reader(s);
	cr_assert_eq(r.next(r.self, 1, &b, &e), TAMIS_E_MEMORY);
	cr_assert_str_eq(e.file, "x.npy");
	data_close(s);
	in.rank = 1;
	put_ramp("y.npy", 0, "(60,)", 60);
	put_npy("y.npy", "<f4", "True", "(60,)", f, sizeof f);
	s = open_one("y.npy", &in, 1);
	cr_assert_eq(data_count(s), 60);
	data_close(s);
}

Test(reader, batches_shrink_to_the_memory_allowed)
{
	struct data_options o = {.max_memory = 100}; /* four items of 24 bytes */
	const char *spec = "x.npy";
	struct data_source *s;
	struct feed_reader r;
	struct batch b;

	put_ramp(spec, 0, "(10, 2, 3)", 60);
	cr_assert_eq(data_open(&spec, 1, &image, 1, &o, &s, NULL), TAMIS_OK);
	check_ramp(s, 0, 0, 60);
	r = data_reader(s);
	r.rewind(r.self, NULL);
	cr_assert_eq(r.next(r.self, 10, &b, NULL), TAMIS_OK);
	cr_assert_eq(b.items, 4);
	data_close(s);
	o.max_memory = 23;
	cr_assert_eq(data_open(&spec, 1, &image, 1, &o, &s, NULL), TAMIS_OK);
	r = data_reader(s);
	cr_assert_eq(r.next(r.self, 10, &b, NULL), TAMIS_E_MEMORY);
	cr_assert_eq(b.items, 0);
	data_close(s);
}

/* Replaces the file by one of the same length and items whose values are others: only memory can still give the first. */
static bool second_pass_is_of_memory(uint64_t max_memory, bool deflate, bool to_the_end)
{
	struct data_options o = {.max_memory = max_memory};
	struct tensor first = ramp(0, 3, 10, 2, 3), other = ramp(1000, 3, 10, 2, 3);
	const char *spec = "x.npz";
	struct data_source *s;
	double *all;
	size_t n;
	bool kept;

	put_npz(spec, deflate, "x", &first, NULL);
	cr_assert_eq(data_open(&spec, 1, &image, 1, &o, &s, NULL), TAMIS_OK);
	cr_assert_eq(data_keeps(s), deflate && max_memory >= 16 * 368 ? 368 : 0); /* 128 of a header, 60 floats */
	for (int k = 0; k < (to_the_end ? 2 : 1); k++) {
		struct feed_reader r = data_reader(s);
		struct batch b;

		r.rewind(r.self, NULL);
		for (int i = 0; i < (to_the_end ? 4 : 2); i++)
			cr_assert_eq(r.next(r.self, 4, &b, NULL), TAMIS_OK);
	}
	put_npz(spec, deflate, "x", &other, NULL);
	all = drain_input(s, 0, 7, &n);
	kept = all[59] == 59;
	cr_assert(n == 60 && (kept || all[59] == 1059));
	free(all);
	data_close(s);
	tensor_free(&first);
	tensor_free(&other);
	return kept;
}

Test(reader, what_was_inflated_is_kept_for_the_passes_after_the_first)
{
	cr_assert(second_pass_is_of_memory(1 << 20, true, true));
	cr_assert(!second_pass_is_of_memory(1 << 20, true, false));
	cr_assert(!second_pass_is_of_memory(1 << 20, false, true));
	cr_assert(!second_pass_is_of_memory(4096, true, true));
}

Test(reader, a_kept_member_that_changes_its_size_is_read_again)
{
	struct tensor first = ramp(0, 3, 10, 2, 3), longer = ramp(0, 3, 11, 2, 3);
	struct tamis_error e = {0};
	struct data_source *s;
	struct feed_reader r;
	struct batch b;

	put_npz("x.npz", true, "x", &first, NULL);
	s = open_one("x.npz", &image, 1);
	check_ramp(s, 0, 0, 60);
	put_npz("x.npz", true, "x", &longer, NULL);
	r = data_reader(s);
	cr_assert_eq(r.rewind(r.self, NULL), TAMIS_OK);
	cr_assert_eq(r.next(r.self, 4, &b, &e), TAMIS_E_INVALID);
	cr_assert_not_null(strstr(e.message, "had 10 items"), "%s", e.message);
	data_close(s);
	tensor_free(&first);
	tensor_free(&longer);
}

Test(reader, several_deflated_inputs_over_several_files)
{
	const struct data_input two[] = {image, {.name = "y", .type = DT_FLOAT, .rank = 1, .dims = {-1}}};
	struct data_source *s;

	cr_assert_eq(mkdir("d", 0700), 0);
	for (int i = 0; i < 3; i++) {
		struct tensor x = ramp((float)(60 * i), 3, 10, 2, 3), y = ramp((float)(10 * i), 1, 10);
		char path[16];

		snprintf(path, sizeof path, "d/%d.npz", i);
		put_npz(path, i != 1, "x", &x, "y", &y, NULL);
		tensor_free(&x);
		tensor_free(&y);
	}
	s = open_one("d", two, 2);
	cr_assert_eq(data_keeps(s), 2 * (368 + 168));
	check_ramp(s, 0, 0, 180);
	check_ramp(s, 1, 0, 30);
	data_close(s);
}

Test(reader, nan_and_infinity_pass_unchanged)
{
	static const uint32_t bits[] = {0x7fc12345, 0xff800000, 0x80000000, 0x00000001, 0x7f800000, 0};
	struct data_source *s;
	struct feed_reader r;
	struct batch b;

	put_npy("x.npy", "<f4", "False", "(1, 2, 3)", bits, sizeof bits);
	s = open_one("x.npy", &image, 1);
	r = data_reader(s);
	cr_assert_eq(r.next(r.self, 1, &b, NULL), TAMIS_OK);
	cr_assert_eq(memcmp(b.in[0].data, bits, sizeof bits), 0);
	data_close(s);
}

Test(reader, a_file_that_shrinks_or_grows_between_opening_and_reading)
{
	struct data_source *s;
	struct feed_reader r;
	struct batch b;
	struct tamis_error e = {0};

	put_ramp("x.npy", 0, "(50, 2, 3)", 300);
	s = open_one("x.npy", &image, 1);
	put_ramp("x.npy", 0, "(40, 2, 3)", 240);
	r = data_reader(s);
	cr_assert_eq(r.next(r.self, 10, &b, &e), TAMIS_E_INVALID);
	cr_assert_not_null(strstr(e.message, "had 50 items"), "%s", e.message);
	put_ramp("x.npy", 0, "(50, 2, 3)", 300);
	cr_assert_eq(r.rewind(r.self, NULL), TAMIS_OK);
	cr_assert_eq(r.next(r.self, 10, &b, NULL), TAMIS_OK);
	cr_assert_eq(truncate("x.npy", 500), 0);
	tamis_error_clear(&e);
	cr_assert_eq(r.next(r.self, 30, &b, &e), TAMIS_E_INVALID);
	cr_assert_str_eq(e.file, "x.npy");
	data_close(s);
}

Test(reader, random_items_depend_on_seed_and_index_alone)
{
	static const struct data_input in[] = {
		{.name = "x", .type = DT_FLOAT, .rank = 2, .dims = {-1, 500}},
		{.name = "ids", .type = DT_INT64, .rank = 2, .dims = {1, 50}},
		{.name = "half", .type = DT_FLOAT16, .rank = 1, .dims = {-1}},
	};
	struct data_options o = {.random = 40, .seed = 5};
	struct data_source *s;
	double *a, *b, sum = 0, square = 0;
	size_t n, m;

	cr_assert_eq(data_open(NULL, 0, in, 3, &o, &s, NULL), TAMIS_OK);
	cr_assert(data_is_random(s) && data_count(s) == 40);
	a = drain_input(s, 0, 1, &n);
	b = drain_input(s, 0, 17, &m);
	cr_assert(n == 20000 && m == n && memcmp(a, b, n * sizeof *a) == 0);
	for (size_t i = 0; i < n; i++) {
		sum += a[i] / (double)n;
		square += a[i] * a[i] / (double)n;
	}
	cr_assert(fabs(sum) < 0.03 && fabs(square - 1) < 0.05);
	free(b);
	b = drain_input(s, 1, 17, &m);
	cr_assert_eq(m, 2000);
	for (size_t i = 0; i < m; i++)
		cr_assert(b[i] == 0 || b[i] == 1);
	free(b);
	data_close(s);
	o.seed = 6;
	cr_assert_eq(data_open(NULL, 0, in, 3, &o, &s, NULL), TAMIS_OK);
	b = drain_input(s, 0, 40, &m);
	cr_assert(memcmp(a, b, n * sizeof *a) != 0);
	free(a);
	free(b);
	data_close(s);
}

Test(reader, random_items_of_fixed_shapes_are_whole_feeds)
{
	static const struct data_input in[] = {
		{.name = "x", .type = DT_FLOAT, .rank = 2, .dims = {4, 5}}, {.name = "t", .type = DT_DOUBLE, .rank = 0},
	};
	struct data_input open = {.name = "x", .type = DT_FLOAT, .rank = 2, .dims = {1, -1}};
	struct data_options o = {.random = 3};
	struct tamis_error e = {0};
	struct data_source *s;
	struct feed_reader r;
	struct batch b;
	const char *spec = "x.npy";

	cr_assert_eq(data_open(NULL, 0, in, 2, &o, &s, NULL), TAMIS_OK);
	r = data_reader(s);
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(r.next(r.self, 10, &b, NULL), TAMIS_OK);
		cr_assert(b.whole && b.items == 1 && b.in[0].count == 20 && b.in[0].dims[0] == 4 && b.in[1].rank == 0);
	}
	cr_assert(r.next(r.self, 10, &b, NULL) == TAMIS_OK && b.items == 0);
	data_close(s);
	cr_assert_eq(data_open(NULL, 0, &open, 1, &o, &s, &e), TAMIS_E_INVALID);
	cr_assert_not_null(strstr(e.message, "--shape"));
	open.type = DT_STRING;
	open.dims[1] = 1;
	cr_assert_eq(data_open(NULL, 0, &open, 1, &o, &s, NULL), TAMIS_E_UNSUPPORTED);
	cr_assert_eq(data_open(&spec, 1, in, 2, &o, &s, NULL), TAMIS_E_USAGE);
	cr_assert_eq(data_open(NULL, 0, in, 2, NULL, &s, NULL), TAMIS_E_USAGE);
	cr_assert_eq(data_open(NULL, 0, in, 0, &o, &s, NULL), TAMIS_E_INVALID);
}

Test(reader, labels_are_integers_one_an_item)
{
	static const int32_t v[] = {3, 1, 2, -1};
	static const uint64_t huge[] = {1, UINT64_MAX};
	static const struct { const char *descr, *shape, *order; const void *data; size_t bytes; bool ok; } cases[] = {
		{"<i4", "(4,)", "False", v, 16, true}, {"<i4", "(4, 1)", "False", v, 16, true},
		{"<i4", "(4, 1)", "True", v, 16, true}, {"<i4", "(2, 2)", "False", v, 16, false},
		{"<f4", "(4,)", "False", v, 16, false}, {"<i4", "()", "False", v, 4, false},
		{"<u8", "(2,)", "False", huge, 16, false}, {"<i4", "(4, 1, 1)", "False", v, 16, false},
		{"<i4", "(5,)", "False", v, 16, false},
	};
	struct tensor t = {0}, other = ramp(0, 1, 3);
	int64_t *labels, n;
	struct tamis_error e = {0};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		put_npy("l.npy", cases[i].descr, cases[i].order, cases[i].shape, cases[i].data, cases[i].bytes);
		cr_assert_eq(data_labels("l.npy", &labels, &n, NULL), cases[i].ok ? TAMIS_OK : TAMIS_E_INVALID, "case %zu", i);
		cr_assert(!cases[i].ok || (n == 4 && labels[0] == 3 && labels[3] == -1), "case %zu", i);
		cr_assert(cases[i].ok || (n == 0 && !labels));
		free(labels);
	}
	tensor_shape(&t, DT_UINT8, 1, (int64_t[]){3}, NULL);
	t.data = "\1\2\377";
	put_npz("l.npz", true, "anything", &t, NULL);
	cr_assert_eq(data_labels("l.npz", &labels, &n, NULL), TAMIS_OK);
	cr_assert(n == 3 && labels[2] == 255);
	free(labels);
	put_npz("l.npz", true, "a", &t, "b", &other, NULL);
	cr_assert_eq(data_labels("l.npz", &labels, &n, &e), TAMIS_E_INVALID);
	cr_assert_str_eq(e.file, "l.npz");
	cr_assert_eq(data_labels("missing", &labels, &n, NULL), TAMIS_E_INVALID);
	put_bytes("l.npy", "", 0);
	cr_assert_eq(data_labels("l.npy", &labels, &n, NULL), TAMIS_E_INVALID);
	tensor_free(&other);
}

Test(reader, the_hash_is_of_contents_not_of_names)
{
	uint8_t a[32], b[32], c[32];
	struct data_source *s;

	put_ramp("x.npy", 0, "(5, 2, 3)", 30);
	s = open_one("x.npy", &image, 1);
	cr_assert_eq(data_sha256(s, a, NULL), TAMIS_OK);
	cr_assert_eq(data_sha256(s, b, NULL), TAMIS_OK);
	cr_assert_eq(memcmp(a, b, 32), 0);
	check_ramp(s, 0, 0, 30); /* hashing does not disturb reading */
	data_close(s);
	cr_assert_eq(rename("x.npy", "y.npy"), 0);
	s = open_one("y.npy", &image, 1);
	cr_assert_eq(data_sha256(s, b, NULL), TAMIS_OK);
	cr_assert_eq(memcmp(a, b, 32), 0);
	data_close(s);
	put_ramp("y.npy", 1, "(5, 2, 3)", 30);
	s = open_one("y.npy", &image, 1);
	cr_assert_eq(data_sha256(s, c, NULL), TAMIS_OK);
	cr_assert_neq(memcmp(a, c, 32), 0);
	cr_assert_eq(unlink("y.npy"), 0);
	cr_assert_eq(data_sha256(s, c, NULL), TAMIS_E_INVALID);
	data_close(s);
	put_bytes("abc", "abc", 3); /* the known digest of "abc" */
	cr_assert_eq(data_file_sha256("abc", c, NULL), TAMIS_OK);
	cr_assert_eq(memcmp(c, "\xba\x78\x16\xbf\x8f\x01\xcf\xea", 8), 0);
}
