/* SPDX-License-Identifier: Apache-2.0 */
/* Where items lie: archives, directories, pairs, sets in ONNX layout, JSON feeds, several sources in a row. */
#include <dirent.h>
#include <nettle/base64.h>

#include "make.h"
#include "onnx/document.h"
#include "onnx/payload.h"

TestSuite(layouts, .init = enter_scratch, .fini = leave_scratch);

static const struct data_input one = {.name = "x", .type = DT_FLOAT, .rank = 2, .dims = {-1, 3}};
static const struct data_input two[] = {
	{.name = "image:0", .type = DT_FLOAT, .rank = 2, .dims = {-1, 3}, .position = 0},
	{.name = "image", .type = DT_FLOAT, .rank = 1, .dims = {-1}, .position = 2},
};

static char last_warning[512];

static void keep_warning(void *ctx, const char *sentence)
{
	++*(int *)ctx;
	snprintf(last_warning, sizeof last_warning, "%s", sentence);
}

Test(layouts, an_archive_streams_its_members_side_by_side)
{
	struct tensor a = ramp(0, 2, 5000, 3), b = ramp(100, 1, 5000);

	for (int deflate = 0; deflate < 2; deflate++) {
		struct data_source *s;

		put_npz("x.npz", deflate, "image", &b, "image:0", &a, NULL);
		s = open_one("x.npz", two, 2);
		cr_assert_eq(data_count(s), 5000);
		check_ramp(s, 0, 0, 15000);
		check_ramp(s, 1, 100, 5000);
		data_close(s);
	}
	tensor_free(&a);
	tensor_free(&b);
}

Test(layouts, missing_and_extra_members)
{
	struct tensor a = ramp(0, 2, 5, 3), b = ramp(100, 1, 4);
	int warnings = 0;
	struct data_options o = {.warn = keep_warning, .warn_ctx = &warnings};
	const char *spec = "x.npz";
	struct data_source *s;

	put_npz("x.npz", false, "arr_0", &a, NULL);
	check_refused("x.npz", &one, 1, TAMIS_E_INVALID, "it has arr_0.npy");
	put_npz("x.npz", false, NULL);
	check_refused("x.npz", &one, 1, TAMIS_E_INVALID, "it has nothing");
	put_npz("x.npz", false, "image:0", &a, "image", &b, NULL);
	check_refused("x.npz", two, 2, TAMIS_E_INVALID, "has 4 items, and the one for 'image:0' has 5");
	put_npz("x.npz", false, "x", &a, "labels", &b, NULL);
	cr_assert_eq(data_open(&spec, 1, &one, 1, &o, &s, NULL), TAMIS_OK);
	check_ramp(s, 0, 0, 15);
	data_close(s);
	cr_assert_eq(warnings, 1);
	cr_assert_not_null(strstr(last_warning, "labels.npy"), "%s", last_warning);
	tensor_free(&a);
	tensor_free(&b);
}

Test(layouts, pairs_name_their_inputs_and_names_may_hold_colons)
{
	static const char *const both[] = {"image:b.npy", "image:0:a.npy"}, *const missing[] = {"image:b.npy"},
		*const twice[] = {"image:b.npy", "image:b.npy", "image:0:a.npy"}, *const wrong[] = {"picture:b.npy"};
	struct tamis_error e = {0};
	struct data_source *s;

	put_ramp("a.npy", 0, "(5, 3)", 15);
	put_ramp("b.npy", 100, "(5,)", 5);
	cr_assert_eq(data_open(both, 2, two, 2, NULL, &s, NULL), TAMIS_OK);
	check_ramp(s, 0, 0, 15);
	check_ramp(s, 1, 100, 5);
	data_close(s);
	cr_assert_eq(data_open(missing, 1, two, 2, NULL, &s, &e), TAMIS_E_INVALID);
	cr_assert_str_eq(e.tensor, "image:0");
	cr_assert_eq(data_open(twice, 3, two, 2, NULL, &s, NULL), TAMIS_E_USAGE);
	tamis_error_clear(&e);
	cr_assert_eq(data_open(wrong, 1, two, 2, NULL, &s, &e), TAMIS_E_INVALID);
	cr_assert_not_null(strstr(e.message, "'picture'"), "%s", e.message);
	check_refused("a.npy", two, 2, TAMIS_E_INVALID, "one input");
}

/* Files of a directory in natural order: one item without its axis, a batch, one item with it. */
Test(layouts, a_directory_is_read_in_natural_order)
{
	struct tensor z = ramp(27, 2, 2, 3);
	struct data_source *s;

	cr_assert_eq(mkdir("d", 0700), 0);
	put_ramp("d/a1.npy", 0, "(3,)", 3);
	put_ramp("d/a2.npy", 3, "(6, 3)", 18);
	put_ramp("d/a10.npy", 21, "(1, 3)", 3);
	put_ramp("d/a010.npy", 24, "(1, 3)", 3); /* equal numbers: by bytes, but 0 before 1 */
	put_ramp("d/.hidden.npy", 500, "(1, 3)", 3);
	put_bytes("d/README.txt", "words", 5);
	cr_assert_eq(rename("d/a010.npy", "d/swap") | rename("d/a10.npy", "d/a010.npy") | rename("d/swap", "d/a10.npy"), 0);
	put_npz("d/b.npz", true, "x", &z, NULL);
	s = open_one("d", &one, 1);
	cr_assert_eq(data_count(s), 11);
	check_ramp(s, 0, 0, 33);
	data_close(s);
	tensor_free(&z);
}

/* Numbers that are equal but for zeros, and names that end where others go on. */
Test(layouts, names_that_are_nearly_alike_have_an_order)
{
	static const char *const names[] = {"001", "01", "1", "1a", "2", "10", "a", "a0", "ab"};
	char path[32];

	cr_assert_eq(mkdir("d", 0700), 0);
	for (int i = 8; i >= 0; i--) {
		snprintf(path, sizeof path, "d/%s.npy", names[i]);
		put_ramp(path, 3.0f * (float)i, "(1, 3)", 3);
	}
	struct data_source *s = open_one("d", &one, 1);
	check_ramp(s, 0, 0, 27);
	data_close(s);
}

/* Of many members, the message names the first few. */
Test(layouts, a_long_list_of_members_is_cut)
{
	struct tensor a = ramp(0, 2, 2, 3);
	char name[8];
	struct npz_writer *w;

	cr_assert_eq(npz_open("x.npz", false, &w, NULL), TAMIS_OK);
	for (int i = 0; i < 12; i++) {
		snprintf(name, sizeof name, "m%d", i);
		cr_assert_eq(npz_put(w, name, &a, NULL), TAMIS_OK);
	}
	cr_assert_eq(npz_close(w, NULL), TAMIS_OK);
	check_refused("x.npz", &one, 1, TAMIS_E_INVALID, "m7.npy, ...");
	tensor_free(&a);
}

Test(layouts, a_change_of_shape_ends_a_batch)
{
	struct data_input in = {.name = "x", .type = DT_FLOAT, .rank = 2, .dims = {-1, -1}};
	static const int64_t items[] = {2, 3, 1}, widths[] = {3, 2, 3};
	struct data_source *s;
	struct feed_reader r;
	struct batch b;

	cr_assert_eq(mkdir("d", 0700), 0);
	put_ramp("d/1.npy", 0, "(2, 3)", 6);
	put_ramp("d/2.npy", 6, "(1, 2)", 2);
	put_ramp("d/3.npy", 8, "(2, 2)", 4);
	put_ramp("d/4.npy", 12, "(1, 3)", 3);
	s = open_one("d", &in, 1);
	check_ramp(s, 0, 0, 15);
	r = data_reader(s);
	r.rewind(r.self, NULL);
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(r.next(r.self, 100, &b, NULL), TAMIS_OK);
		cr_assert(b.items == items[i] && b.in[0].dims[0] == items[i] && b.in[0].dims[1] == widths[i], "batch %d", i);
	}
	data_close(s);
}

Test(layouts, a_bad_file_in_a_directory_is_named)
{
	cr_assert_eq(mkdir("d", 0700) | mkdir("empty", 0700), 0);
	put_ramp("d/1.npy", 0, "(2, 3)", 6);
	put_ramp("d/2.npy", 6, "(1, 4)", 4);
	check_refused("d", &one, 1, TAMIS_E_INVALID, "float[1,4]");
	put_bytes("d/2.npy", "", 0);
	check_refused("d", &one, 1, TAMIS_E_INVALID, "empty");
	check_refused("empty", &one, 1, TAMIS_E_INVALID, "no .npz");
	cr_assert_eq(unlink("d/2.npy") | mkdir("d/2.npy", 0700), 0);
	check_refused("d", &one, 1, TAMIS_E_INVALID, "directory");
}

Test(layouts, several_sources_follow_one_another)
{
	static const char *const specs[] = {"a.npy", "b.npz", "d"};
	struct tensor b = ramp(6, 2, 3, 3);
	struct data_source *s;

	put_ramp("a.npy", 0, "(2, 3)", 6);
	put_npz("b.npz", true, "x", &b, NULL);
	cr_assert_eq(mkdir("d", 0700), 0);
	put_ramp("d/c.npy", 15, "(4, 3)", 12);
	cr_assert_eq(data_open(specs, 3, &one, 1, NULL, &s, NULL), TAMIS_OK);
	cr_assert_eq(data_count(s), 9);
	check_ramp(s, 0, 0, 27);
	data_close(s);
	tensor_free(&b);
}

/* ---- ONNX layout ---- */

/* A TensorProto by hand: dims (1), data_type (2), raw_data (9). */
static void put_pb(const char *path, int type, const struct tensor *t)
{
	unsigned char image[4096], *p = image;
	size_t bytes = tensor_bytes(t);

	for (int i = 0; i < t->rank; i++) {
		*p++ = 1 << 3;
		*p++ = (unsigned char)t->dims[i];
	}
	*p++ = 2 << 3;
	*p++ = (unsigned char)type;
	*p++ = 9 << 3 | 2;
	*p++ = (unsigned char)(bytes & 127) | 128;
	*p++ = (unsigned char)(bytes >> 7);
	memcpy(p, t->data, bytes);
	put_bytes(path, image, (size_t)(p - image) + bytes);
}

static void put_set(int number, float start, int rows)
{
	struct tensor a = ramp(start, 2, rows, 3), b = ramp(start, 1, rows);
	char path[64];

	snprintf(path, sizeof path, "sets/test_data_set_%d", number);
	cr_assert_eq(mkdir(path, 0700), 0);
	snprintf(path, sizeof path, "sets/test_data_set_%d/input_0.pb", number);
	put_pb(path, 1, &a);
	snprintf(path, sizeof path, "sets/test_data_set_%d/input_2.pb", number);
	put_pb(path, 1, &b);
	tensor_free(&a);
	tensor_free(&b);
}

Test(layouts, sets_are_whole_feeds_in_numeric_order)
{
	int warnings = 0;
	struct data_options o = {.warn = keep_warning, .warn_ctx = &warnings};
	const char *spec = "sets";
	struct data_source *s;
	struct feed_reader r;
	struct batch b;

	cr_assert_eq(mkdir("sets", 0700), 0);
	put_set(0, 0, 2);
	put_set(2, 6, 1);
	put_set(10, 9, 4);
	put_bytes("sets/model.onnx", "", 0);
	cr_assert_eq(data_open(&spec, 1, two, 2, &o, &s, NULL), TAMIS_OK);
	cr_assert_eq(data_count(s), 3);
	check_ramp(s, 0, 0, 21);
	r = data_reader(s);
	r.rewind(r.self, NULL);
	cr_assert_eq(r.next(r.self, 10, &b, NULL), TAMIS_OK);
	cr_assert(b.whole && b.items == 1 && b.first == 0 && b.in[0].dims[0] == 2 && b.in[1].count == 2);
	cr_assert_eq(r.next(r.self, 10, &b, NULL), TAMIS_OK);
	cr_assert(b.first == 1 && b.in[0].dims[0] == 1 && tensor_get(&b.in[1], 0) == 6);
	data_close(s);
	s = open_one("sets/test_data_set_2", two, 2);
	check_ramp(s, 0, 6, 3);
	data_close(s);
	cr_assert_eq(warnings, 0);
}

Test(layouts, what_is_wrong_in_a_set_is_named)
{
	struct tensor a = ramp(0, 2, 2, 4);

	cr_assert_eq(mkdir("sets", 0700), 0);
	put_set(0, 0, 2);
	put_set(1, 0, 2);
	cr_assert_eq(unlink("sets/test_data_set_1/input_2.pb"), 0);
	check_refused("sets", two, 2, TAMIS_E_INVALID, "No such file");
	put_pb("sets/test_data_set_1/input_2.pb", 1, &a);
	check_refused("sets", two, 2, TAMIS_E_INVALID, "float[N]");
	put_pb("sets/test_data_set_1/input_2.pb", 6, &a);
	check_refused("sets", two, 2, TAMIS_E_INVALID, "int32[2,4]");
	put_bytes("sets/test_data_set_1/input_2.pb", "\xff\xff\xff", 3);
	check_refused("sets", two, 2, TAMIS_E_INVALID, "");
	tensor_free(&a);
}

Test(layouts, several_sets_mix_with_stacked_items)
{
	static const char *const specs[] = {"image:0:a.npy", "image:b.npy", "sets", "x.npz"};
	struct tensor a = ramp(12, 2, 2, 3), b = ramp(100, 1, 2);
	struct data_source *s;
	double *all;
	size_t n;

	cr_assert_eq(mkdir("sets", 0700), 0);
	put_set(0, 0, 2);
	put_set(1, 6, 2);
	put_npz("x.npz", false, "image:0", &a, "image", &b, NULL);
	put_ramp("a.npy", 18, "(5, 3)", 15);
	put_ramp("b.npy", 100, "(5,)", 5);
	cr_assert_eq(data_open(specs, 4, two, 2, NULL, &s, NULL), TAMIS_OK);
	cr_assert_eq(data_count(s), 9);
	all = drain_input(s, 0, 100, &n);
	cr_assert_eq(n, 33);
	for (size_t i = 0; i < n; i++)
		cr_assert_eq(all[i], (double)i);
	free(all);
	data_close(s);
	tensor_free(&a);
	tensor_free(&b);
}

static void hash_of(const char *const *specs, size_t n, int64_t random, uint8_t digest[32])
{
	const struct data_options o = {.random = random, .seed = 3};
	struct data_source *s;
	uint8_t again[32];

	cr_assert_eq(data_open(specs, n, two, 2, &o, &s, NULL), TAMIS_OK);
	cr_assert_eq(data_sha256(s, digest, NULL), TAMIS_OK);
	cr_assert_eq(data_sha256(s, again, NULL), TAMIS_OK);
	cr_assert_eq(memcmp(digest, again, 32), 0);
	data_close(s);
}

/* Whatever the layout, its hash is of what it holds: other contents, another hash. */
Test(layouts, every_layout_has_a_hash)
{
	static const char *const specs[][2] = {{"x.npz"}, {"image:0:a.npy", "image:b.npy"}, {"sets"}, {NULL}};
	struct tensor a = ramp(12, 2, 2, 3), b = ramp(100, 1, 2);
	uint8_t before[4][32], after[32];

	cr_assert_eq(mkdir("sets", 0700), 0);
	put_set(0, 0, 2);
	put_set(1, 6, 2);
	put_npz("x.npz", true, "image:0", &a, "image", &b, NULL);
	put_ramp("a.npy", 18, "(5, 3)", 15);
	put_ramp("b.npy", 100, "(5,)", 5);
	for (size_t i = 0; i < 4; i++)
		hash_of(specs[i], specs[i][0] ? 1 + (specs[i][1] != NULL) : 0, i == 3 ? 4 : 0, before[i]);
	for (size_t i = 0; i < 4; i++)
		for (size_t k = 0; k < i; k++)
			cr_assert_neq(memcmp(before[i], before[k], 32), 0, "layouts %zu and %zu", i, k);
	tensor_free(&b);
	b = ramp(101, 1, 2);
	put_npz("x.npz", true, "image:0", &a, "image", &b, NULL);
	put_ramp("b.npy", 101, "(5,)", 5);
	put_pb("sets/test_data_set_1/input_2.pb", 1, &b);
	for (size_t i = 0; i < 4; i++) {
		hash_of(specs[i], specs[i][0] ? 1 + (specs[i][1] != NULL) : 0, i == 3 ? 5 : 0, after);
		cr_assert_neq(memcmp(before[i], after, 32), 0, "layout %zu", i);
	}
	tensor_free(&a);
	tensor_free(&b);
}

/* Every input_0.pb that Debian's test data has: type and shape as the file says, read through a source. */
Test(layouts, the_sets_of_the_onnx_test_data)
{
	static const char root[] = "/usr/share/libonnx-testdata/data/node";
	DIR *d = opendir(root);
	struct dirent *entry;
	int read = 0, other = 0; /* sequences and optionals are no tensors */

	if (!d)
		cr_skip_test("no ONNX test data here");
	while ((entry = readdir(d))) {
		char dir[512], path[600];
		struct data_input in = {.name = "x"};
		struct tensor_file *f = NULL;
		struct tensor t;
		struct data_source *s;
		struct feed_reader r;
		struct batch b;

		snprintf(dir, sizeof dir, "%s/%s", root, entry->d_name);
		snprintf(path, sizeof path, "%s/test_data_set_0/input_0.pb", dir);
		if (entry->d_name[0] == '.' || access(path, R_OK) != 0)
			continue;
		if (tensor_file_load(path, NULL, &f, NULL) != TAMIS_OK || payload_read(NULL, f->proto, &t, NULL) != TAMIS_OK) {
			tensor_file_free(f);
			other++;
			continue;
		}
		in.type = t.type;
		in.rank = t.rank;
		memcpy(in.dims, t.dims, sizeof t.dims);
		s = open_one(dir, &in, 1);
		r = data_reader(s);
		for (int round = 0; round < 2; round++) {
			cr_assert_eq(r.next(r.self, 1, &b, NULL), TAMIS_OK);
			cr_assert(b.items == 1 && b.whole && tensor_same_shape(&b.in[0], &t) && b.in[0].type == t.type);
			cr_assert(t.type == DT_STRING || memcmp(b.in[0].data, t.data, tensor_bytes(&t)) == 0, "%s", path);
			cr_assert_eq(r.rewind(r.self, NULL), TAMIS_OK);
		}
		data_close(s);
		tensor_free(&t);
		tensor_file_free(f);
		read++;
	}
	closedir(d);
	cr_assert(read > 900 && other < 30, "%d sets read, %d not", read, other);
}

/* ---- JSON ---- */

static void put_feeds(const char *path, int feeds, float start, const char *mark)
{
	FILE *f = fopen(path, "w");

	fprintf(f, "[");
	for (int i = 0; i < feeds; i++) {
		struct tensor a = ramp(start + 6 * (float)i, 2, 2, 3);
		size_t size;
		unsigned char *image = npy_image("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n", a.data, 24, &size);
		char text[400] = "";

		base64_encode_raw(text, size, image);
		fprintf(f, "%s\n  {\"x\": {\"array\": \"%s\"%s}}", i ? "," : "", text, mark);
		free(image);
		tensor_free(&a);
	}
	fprintf(f, "\n]\n");
	fclose(f);
}

Test(layouts, polygraphy_feeds)
{
	uint8_t a[32], b[32];
	struct data_source *s;

	put_feeds("f.json", 5, 0, ", \"polygraphy_class\": \"ndarray\"");
	s = open_one("f.json", &one, 1);
	cr_assert_eq(data_count(s), 10);
	check_ramp(s, 0, 0, 30);
	cr_assert_eq(data_sha256(s, a, NULL), TAMIS_OK);
	data_close(s);
	put_feeds("f.json", 5, 0, ", \"__polygraphy_encoded_ndarray\": \"true\"");
	s = open_one("f.json", &one, 1);
	check_ramp(s, 0, 0, 30);
	cr_assert_eq(data_sha256(s, b, NULL), TAMIS_OK);
	cr_assert_neq(memcmp(a, b, 32), 0);
	data_close(s);
}

Test(layouts, json_that_is_no_list_of_feeds_is_refused)
{
	static const struct { const char *text, *word; } cases[] = {
		{"{}", "list"}, {"[", "line"}, {"[1]", "object"}, {"[{}]", "no array"}, {"[]", "no items"},
		{"[{\"x\": 1}]", "base64"}, {"[{\"x\": {\"array\": \"***\"}}]", "base64"}, {"[{\"x\": {\"array\": \"\"}}]", "magic"},
		{"[{\"x\": {\"array\": \"AAAA\"}}]", "magic"}, {"[{\"x\": {}, \"x\": {}}]", "duplicate"},
		{"[{\"y\": {\"array\": \"AAAA\"}}]", "no array"}, {"{\"lst\": []}", "list"},
	};
	char *deep = malloc(200001);

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		put_bytes("f.json", cases[i].text, strlen(cases[i].text));
		check_refused("f.json", &one, 1, TAMIS_E_INVALID, cases[i].word);
	}
	memset(deep, '[', 200000);
	put_bytes("f.json", deep, 200000);
	check_refused("f.json", &one, 1, TAMIS_E_INVALID, "JSON");
	free(deep);
}
