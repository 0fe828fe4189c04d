/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <unistd.h>
#include <zip.h>
#include <zlib.h>

#include "base/half.h"
#include "base/rng.h"
#include "data/zip_records.h"
#include "make.h"

TestSuite(npz, .init = enter_scratch, .fini = leave_scratch);

static int entries(void)
{
	DIR *d = opendir(".");
	int n = -2;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* A member through libzip alone, checksum included. */
static unsigned char *member(const char *path, const char *name, size_t *size)
{
	int code;
	zip_t *zip = zip_open(path, ZIP_RDONLY | ZIP_CHECKCONS, &code);
	zip_stat_t st;
	zip_file_t *f;
	unsigned char *data;

	cr_assert_not_null(zip, "libzip error %d", code);
	cr_assert_eq(zip_stat(zip, name, 0, &st), 0, "no %s", name);
	*size = st.size;
	data = malloc(*size + 1);
	f = zip_fopen(zip, name, 0);
	cr_assert_eq(zip_fread(f, data, *size + 1), (zip_int64_t)*size);
	cr_assert_eq(zip_fclose(f), 0);
	zip_discard(zip);
	return data;
}

Test(npz, members_are_npy_images_stored_or_deflated)
{
	struct tensor a = ramp(1, 2, 300, 100), scalar = ramp(5, 0);

	for (int deflate = 0; deflate < 2; deflate++) {
		size_t size, file;
		unsigned char *image;

		put_npz("x.npz", deflate, "a", &a, "caf\xc3\xa9/b", &scalar, NULL);
		image = member("x.npz", "a.npy", &size);
		cr_assert_eq(size, 128 + 120000);
		cr_assert_eq(memcmp(image + 128, a.data, 120000), 0);
		free(image);
		image = member("x.npz", "caf\xc3\xa9/b.npy", &size);
		cr_assert_eq(*(float *)(image + size - 4), 5);
		free(image);
		free(get_bytes("x.npz", &file));
		cr_assert(deflate ? file < 100000 : file > 120000, "%zu bytes", file);
	}
	tensor_free(&a);
	tensor_free(&scalar);
	cr_assert_eq(entries(), 1);
}

Test(npz, the_same_arrays_give_the_same_bytes)
{
	struct tensor a = ramp(1, 2, 30, 100);

	for (int deflate = 0; deflate < 2; deflate++) {
		size_t n, m;
		unsigned char *x, *y;

		put_npz("x.npz", deflate, "a", &a, NULL);
		sleep(deflate ? 0 : 2); /* zip time stamps have a resolution of 2 s */
		put_npz("y.npz", deflate, "a", &a, NULL);
		x = get_bytes("x.npz", &n);
		y = get_bytes("y.npz", &m);
		cr_assert(n == m && memcmp(x, y, n) == 0);
		cr_assert_eq(memcmp(x + 10, "\0\0\x21\0", 4), 0, "the time is 1980-01-01 00:00");
		free(x);
		free(y);
	}
	tensor_free(&a);
}

/* Two members growing by turns equal the same two written whole. */
Test(npz, appended_rows_equal_a_whole_array)
{
	struct tensor a = ramp(0, 2, 1000, 7), b = ramp(9, 1, 1000);
	struct rng r = rng_make(3, 0);

	for (int deflate = 0; deflate < 2; deflate++) {
		struct npz_writer *w;
		size_t n, m;
		unsigned char *x, *y;

		put_npz("whole.npz", deflate, "a", &a, "b", &b, NULL);
		cr_assert_eq(npz_open("grown.npz", deflate, &w, NULL), TAMIS_OK);
		for (int64_t at = 0; at < 1000;) {
			int64_t rows = (int64_t)rng_below(&r, 90);
			struct tensor part = {0};

			rows = rows < 1000 - at ? rows : 1000 - at;
			tensor_shape(&part, DT_FLOAT, 2, (int64_t[]){rows, 7}, NULL);
			part.data = (float *)a.data + at * 7;
			cr_assert_eq(npz_append(w, "a", &part, NULL), TAMIS_OK);
			tensor_shape(&part, DT_FLOAT, 1, (int64_t[]){rows}, NULL);
			part.data = (float *)b.data + at;
			cr_assert_eq(npz_append(w, "b", &part, NULL), TAMIS_OK);
			at += rows;
		}
		cr_assert_eq(npz_close(w, NULL), TAMIS_OK);
		x = get_bytes("whole.npz", &n);
		y = get_bytes("grown.npz", &m);
		cr_assert(n == m && memcmp(x, y, n) == 0);
		free(x);
		free(y);
	}
	cr_assert_eq(entries(), 2, "a temporary is left");
	tensor_free(&a);
	tensor_free(&b);
}

Test(npz, what_cannot_be_stacked_is_refused)
{
	struct tensor a = ramp(0, 2, 2, 3), wider = ramp(0, 2, 2, 4), scalar = ramp(0, 0), ints = ramp(0, 2, 2, 3);
	struct tensor text = {0};
	struct tamis_error e = {0};
	struct npz_writer *w;

	ints.type = DT_INT32;
	tensor_shape(&text, DT_STRING, 1, (int64_t[]){0}, NULL);
	cr_assert_eq(npz_open("x.npz", false, &w, NULL), TAMIS_OK);
	cr_assert_eq(npz_append(w, "a", &a, NULL), TAMIS_OK);
	cr_assert_eq(npz_append(w, "a", &wider, &e), TAMIS_E_INVALID);
	cr_assert_str_eq(e.tensor, "a");
	cr_assert_eq(npz_append(w, "a", &ints, NULL), TAMIS_E_INVALID);
	cr_assert_eq(npz_append(w, "s", &scalar, NULL), TAMIS_E_INVALID);
	cr_assert_eq(npz_put(w, "text", &text, NULL), TAMIS_E_UNSUPPORTED);
	npz_abort(w);
	npz_abort(NULL);
	cr_assert_eq(entries(), 0);
	tensor_free(&a);
	tensor_free(&wider);
	tensor_free(&scalar);
	tensor_free(&ints);
}

/* Rows wait in TMPDIR then; what comes out of the pipe is the file that a path would get. */
Test(npz, rows_grow_on_standard_output_too)
{
	static unsigned char piped[65536];
	struct tensor a = ramp(0, 2, 2, 3);
	int ends[2], saved = dup(1);
	ssize_t size = 0, n;
	size_t want;

	cr_assert_eq(pipe(ends), 0);
	for (int to_pipe = 0; to_pipe < 2; to_pipe++) {
		enum tamis_status status;
		struct npz_writer *w;

		if (to_pipe)
			dup2(ends[1], 1);
		setenv("TMPDIR", to_pipe ? "." : "", 1);
		status = npz_open(to_pipe ? "-" : "x.npz", true, &w, NULL);
		for (int i = 0; i < 3 && status == TAMIS_OK; i++)
			status = npz_append(w, "rows", &a, NULL);
		if (status == TAMIS_OK)
			status = npz_close(w, NULL);
		dup2(saved, 1);
		cr_assert_eq(status, TAMIS_OK);
	}
	close(ends[1]);
	while ((n = read(ends[0], piped + size, sizeof piped - (size_t)size)) > 0)
		size += n;
	unsigned char *file = get_bytes("x.npz", &want);
	cr_assert_eq((size_t)size, want);
	cr_assert_arr_eq(piped, file, want);
	free(file);
	tensor_free(&a);
}

/* No name, and one longer than the format can hold. */
Test(npz, names_beyond_the_format_are_refused)
{
	struct tensor a = ramp(0, 2, 2, 3);
	struct tamis_error e = {0};
	struct npz_writer *w;
	char *name = malloc(70001);

	memset(name, 'n', 70000);
	name[70000] = '\0';
	cr_assert_eq(npz_open("x.npz", false, &w, NULL), TAMIS_OK);
	cr_assert_neq(npz_put(w, name, &a, &e), TAMIS_OK);
	cr_assert_neq(e.message[0], '\0');
	npz_abort(w);
	cr_assert_eq(entries(), 0);
	free(name);
	tensor_free(&a);
}

Test(npz, a_name_twice_is_refused_at_the_end)
{
	struct tensor a = ramp(0, 2, 2, 3);

	for (int grown = 0; grown < 2; grown++) {
		struct tamis_error e = {0};
		struct npz_writer *w;

		cr_assert_eq(npz_open("x.npz", false, &w, NULL), TAMIS_OK);
		cr_assert_eq(npz_put(w, "b", &a, NULL), TAMIS_OK);
		cr_assert_eq(npz_put(w, "a", &a, NULL), TAMIS_OK);
		cr_assert_eq((grown ? npz_append : npz_put)(w, "b", &a, NULL), TAMIS_OK);
		cr_assert_eq(npz_close(w, &e), TAMIS_E_INVALID);
		cr_assert_str_eq(e.tensor, "b");
	}
	cr_assert_eq(entries(), 0);
	tensor_free(&a);
}

/* More members than the classic end record can count. */
Test(npz, seventy_thousand_members)
{
	struct tensor a = ramp(5, 1, 1);
	struct npz_writer *w;
	struct data_input in = {.name = "m69999", .type = DT_FLOAT, .rank = 1, .dims = {-1}};
	struct data_source *s;
	char name[16];

	cr_assert_eq(npz_open("x.npz", false, &w, NULL), TAMIS_OK);
	for (int i = 0; i < 70000; i++) {
		snprintf(name, sizeof name, "m%d", i);
		cr_assert_eq(npz_put(w, name, &a, NULL), TAMIS_OK);
	}
	cr_assert_eq(npz_close(w, NULL), TAMIS_OK);
	s = open_one("x.npz", &in, 1);
	check_ramp(s, 0, 5, 1);
	data_close(s);
	tensor_free(&a);
}

/* Five gigabytes that are a hole in the file, and a member behind them. */
Test(npz, beyond_four_gigabytes_libzip_agrees)
{
	enum { SMALL = 5 };
	const uint64_t large = (uint64_t)5 << 30;
	struct zip_entry e[2] = {{.name = "large", .plain = large, .packed = large},
	                         {.name = "small", .plain = SMALL, .packed = SMALL, .crc = (uint32_t)crc32(0, (const Bytef *)"small", SMALL)}};
	struct zip_out out = {0};
	uint64_t start;
	unsigned char *data;
	size_t size;
	int code;
	zip_t *zip;
	zip_stat_t st;

	cr_assert_eq(file_writer_open(&out.file, "big.npz", NULL), TAMIS_OK);
	cr_assert_eq(zip_local_header(&out, &e[0], NULL), TAMIS_OK);
	cr_assert_neq(lseek(out.file.fd, (off_t)large, SEEK_CUR), -1);
	out.at += large;
	e[1].offset = out.at;
	cr_assert_eq(zip_local_header(&out, &e[1], NULL), TAMIS_OK);
	cr_assert_eq(zip_emit(&out, "small", SMALL, NULL), TAMIS_OK);
	start = out.at;
	for (int i = 0; i < 2; i++)
		cr_assert_eq(zip_central_header(&out, &e[i], NULL), TAMIS_OK);
	cr_assert_eq(zip_end(&out, start, 2, NULL), TAMIS_OK);
	cr_assert_eq(file_writer_commit(&out.file, NULL), TAMIS_OK);
	zip = zip_open("big.npz", ZIP_RDONLY | ZIP_CHECKCONS, &code);
	cr_assert_not_null(zip, "libzip error %d", code);
	cr_assert_eq(zip_stat(zip, "large.npy", 0, &st), 0);
	cr_expect_eq(st.size, large);
	zip_discard(zip);
	data = member("big.npz", "small.npy", &size);
	cr_expect(size == SMALL && memcmp(data, "small", SMALL) == 0);
	free(data);
}

Test(npz, types_without_a_numpy_name_are_widened_exactly)
{
	static const enum dtype types[] = {DT_BFLOAT16, DT_FLOAT8E4M3FN, DT_FLOAT4E2M1, DT_INT4, DT_UINT4, DT_INT2, DT_UINT2};
	static const enum dtype written[] = {DT_FLOAT, DT_FLOAT, DT_FLOAT, DT_INT8, DT_UINT8, DT_INT8, DT_UINT8};

	for (int k = 0; k < 7; k++) {
		struct data_input in = {.name = "x", .type = written[k], .rank = 1, .dims = {-1}};
		struct tensor t = {0};
		struct data_source *s;
		double *all;
		size_t n;

		tensor_shape(&t, types[k], 1, (int64_t[]){5}, NULL);
		tensor_alloc(&t, NULL);
		for (int i = 0; i < 5; i++)
			tensor_set(&t, i, i - 2);
		put_npz("x.npz", false, "x", &t, NULL);
		s = open_one("x.npz", &in, 1);
		all = drain_input(s, 0, 10, &n);
		cr_assert_eq(n, 5);
		for (int i = 0; i < 5; i++)
			cr_assert_eq(all[i], tensor_get(&t, i));
		free(all);
		data_close(s);
		tensor_free(&t);
	}
}

Test(npz, output_errors_leave_the_old_file)
{
	struct tensor a = ramp(0, 2, 200, 300);
	struct tamis_error e = {0};
	struct npz_writer *w;
	size_t n;

	cr_assert_eq(npz_open("missing/x.npz", false, &w, &e), TAMIS_E_OUTPUT);
	cr_assert_null(w);
	tamis_error_clear(&e);
	cr_assert_eq(npz_open("/dev/full", false, &w, &e), TAMIS_OK);
	cr_assert_eq(npz_put(w, "a", &a, &e), TAMIS_E_OUTPUT);
	npz_abort(w);
	put_bytes("x.npz", "old", 3);
	cr_assert_eq(npz_open("x.npz", true, &w, NULL), TAMIS_OK);
	cr_assert_eq(npz_append(w, "a", &a, NULL), TAMIS_OK);
	npz_abort(w);
	free(get_bytes("x.npz", &n));
	cr_assert_eq(n, 3);
	cr_assert_eq(entries(), 1);
	tensor_free(&a);
}

Test(npz, an_empty_file_and_empty_arrays_are_valid)
{
	struct tensor none = ramp(0, 2, 0, 3);
	size_t size;

	put_npz("empty.npz", true, NULL);
	for (int deflate = 0; deflate < 2; deflate++) {
		put_npz("x.npz", deflate, "none", &none, NULL);
		free(member("x.npz", "none.npy", &size));
		cr_assert_eq(size, 128);
	}
	tensor_free(&none);
}

/* numpy itself reads what we wrote and writes what we read, where there is a numpy. */
Test(npz, numpy_agrees_in_both_directions)
{
	static const char script[] =
		"import numpy as n\n"
		"f = n.load('ours.npz')\n"
		"assert sorted(f.files) == ['a', 'z/b']\n"
		"assert f['a'].dtype == n.float32 and f['a'].shape == (3, 4, 5)\n"
		"assert (f['a'] == n.arange(60, dtype='f4').reshape(3, 4, 5)).all()\n"
		"assert f['z/b'].shape == () and f['z/b'] == 7\n"
		"x = n.arange(42, dtype='f4').reshape(7, 6)\n"
		"n.savez('plain.npz', x=x)\n"
		"n.savez_compressed('packed.npz', x=n.asfortranarray(x))\n"
		"n.save('big.npy', x.astype('>f4'))\n"
		"n.save('half.npy', x.astype('f2'))\n"
		"n.save('double.npy', x.astype('f8'))\n"
		"n.save('three.npy', n.asfortranarray(n.arange(105).reshape(7, 3, 5).astype('i4')))\n";
	static const struct { const char *file; enum dtype type; } files[] = {
		{"plain.npz", DT_FLOAT}, {"packed.npz", DT_FLOAT}, {"big.npy", DT_FLOAT}, {"half.npy", DT_FLOAT16},
		{"double.npy", DT_DOUBLE}, {"double.npy", DT_FLOAT},
	};
	struct tensor a = ramp(0, 3, 3, 4, 5), b = ramp(7, 0);
	struct data_input three = {.name = "x", .type = DT_INT32, .rank = 3, .dims = {-1, 3, 5}};
	struct data_source *s;

	if (system("for p in python3 /usr/bin/python3; do $p -c 'import numpy' 2>/dev/null && ln -sf $(command -v $p) "
	           "python; done; test -e python") != 0)
		cr_skip_test("no numpy here");
	put_npz("ours.npz", true, "a", &a, "z/b", &b, NULL);
	put_bytes("script.py", script, sizeof script - 1);
	cr_assert_eq(system("$(readlink python) script.py"), 0);
	for (int i = 0; i < 6; i++) {
		struct data_input in = {.name = "x", .type = files[i].type, .rank = 2, .dims = {-1, 6}};

		s = open_one(files[i].file, &in, 1);
		check_ramp(s, 0, 0, 42);
		data_close(s);
	}
	s = open_one("three.npy", &three, 1);
	check_ramp(s, 0, 0, 105);
	data_close(s);
	tensor_free(&a);
	tensor_free(&b);
}
