/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of this room share: files of known bytes in a scratch directory, and reading a source dry. */
#ifndef TESTS_DATA_MAKE_H
#define TESTS_DATA_MAKE_H

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/npz.h"
#include "data/reader.h"

static char scratch[64];

static inline void enter_scratch(void)
{
	snprintf(scratch, sizeof scratch, "/tmp/tamis-data-XXXXXX");
	cr_assert_not_null(mkdtemp(scratch));
	cr_assert_eq(chdir(scratch), 0);
}

static inline void leave_scratch(void)
{
	char command[128];

	cr_assert_eq(chdir("/"), 0);
	snprintf(command, sizeof command, "rm -rf %s", scratch);
	cr_assert_eq(system(command), 0);
}

static inline void put_bytes(const char *path, const void *data, size_t size)
{
	FILE *f = fopen(path, "wb");

	cr_assert_not_null(f, "%s", path);
	cr_assert_eq(fwrite(data, 1, size, f), size);
	fclose(f);
}

static inline unsigned char *get_bytes(const char *path, size_t *size)
{
	FILE *f = fopen(path, "rb");
	unsigned char *data;

	cr_assert_not_null(f, "%s", path);
	fseek(f, 0, SEEK_END);
	*size = (size_t)ftell(f);
	rewind(f);
	data = malloc(*size + 1);
	cr_assert_eq(fread(data, 1, *size, f), *size);
	fclose(f);
	return data;
}

/* A .npy image: format 1.0 with the given dictionary as it stands. *size bytes, malloc'ed. */
static inline unsigned char *npy_image(const char *dictionary, const void *data, size_t bytes, size_t *size)
{
	size_t len = strlen(dictionary);
	unsigned char *image = malloc(10 + len + bytes + 1);

	memcpy(image, "\x93NUMPY\1\0", 8);
	image[8] = (unsigned char)(len & 255);
	image[9] = (unsigned char)(len >> 8);
	memcpy(image + 10, dictionary, len);
	if (bytes)
		memcpy(image + 10 + len, data, bytes);
	*size = 10 + len + bytes;
	return image;
}

static inline void put_npy(const char *path, const char *descr, const char *order, const char *shape, const void *data,
                           size_t bytes)
{
	char dictionary[256];
	size_t size;
	unsigned char *image;

	snprintf(dictionary, sizeof dictionary, "{'descr': '%s', 'fortran_order': %s, 'shape': %s, }\n", descr, order, shape);
	image = npy_image(dictionary, data, bytes, &size);
	put_bytes(path, image, size);
	free(image);
}

/* A float array start, start + 1, ... of the given dims (up to the first 0). */
static inline struct tensor ramp(float start, int rank, ...)
{
	struct tensor t = {0};
	int64_t dims[TENSOR_MAX_RANK];
	va_list args;

	va_start(args, rank);
	for (int i = 0; i < rank; i++)
		dims[i] = va_arg(args, int);
	va_end(args);
	cr_assert_eq(tensor_shape(&t, DT_FLOAT, rank, dims, NULL), TAMIS_OK);
	cr_assert_eq(tensor_alloc(&t, NULL), TAMIS_OK);
	for (int64_t i = 0; i < t.count; i++)
		((float *)t.data)[i] = start + (float)i;
	return t;
}

static inline void put_ramp(const char *path, float start, const char *shape, int64_t count)
{
	struct tensor t = ramp(start, 1, (int)count);

	put_npy(path, "<f4", "False", shape, t.data, (size_t)count * 4);
	tensor_free(&t);
}

/* name1, &tensor1, name2, &tensor2, ..., NULL */
static inline void put_npz(const char *path, int deflate, ...)
{
	struct npz_writer *w;
	const char *name;
	va_list args;

	cr_assert_eq(npz_open(path, deflate != 0, &w, NULL), TAMIS_OK);
	va_start(args, deflate);
	while ((name = va_arg(args, const char *)))
		cr_assert_eq(npz_put(w, name, va_arg(args, const struct tensor *), NULL), TAMIS_OK);
	va_end(args);
	cr_assert_eq(npz_close(w, NULL), TAMIS_OK);
}

/* All elements of one input over all batches, as doubles; *n of them. Checks that batches count up without a gap. */
static inline double *drain_input(struct data_source *s, int input, int64_t max_items, size_t *n)
{
	struct feed_reader r = data_reader(s);
	struct batch b;
	double *all = NULL;
	int64_t items = 0;

	*n = 0;
	cr_assert_eq(r.rewind(r.self, NULL), TAMIS_OK);
	for (;;) {
		struct tamis_error e = {0};

		cr_assert_eq(r.next(r.self, max_items, &b, &e), TAMIS_OK, "%s", e.message);
		if (b.items == 0)
			break;
		cr_assert_eq(b.first, items);
		cr_assert(b.items <= max_items);
		cr_assert(b.whole || b.in[input].dims[0] == b.items);
		items += b.items;
		all = realloc(all, (*n + (size_t)b.in[input].count + 1) * sizeof *all);
		for (int64_t i = 0; i < b.in[input].count; i++)
			all[(*n)++] = tensor_get(&b.in[input], i);
	}
	cr_assert_eq(items, data_count(s));
	cr_assert_eq(r.count(r.self), items);
	return all;
}

/* The source gives start, start + 1, ... for an input, whatever the batch size, twice. */
static inline void check_ramp(struct data_source *s, int input, double start, size_t count)
{
	static const int64_t sizes[] = {1, 3, 7, 1000};

	for (int k = 0; k < 8; k++) {
		size_t n;
		double *all = drain_input(s, input, sizes[k % 4], &n);

		cr_assert_eq(n, count, "%zu elements", n);
		for (size_t i = 0; i < n; i++)
			cr_assert_eq(all[i], start + (double)i, "element %zu is %g", i, all[i]);
		free(all);
	}
}

static inline struct data_source *open_one(const char *spec, const struct data_input *in, int n)
{
	struct data_source *s;
	struct tamis_error e = {0};

	cr_assert_eq(data_open(&spec, 1, in, n, NULL, &s, &e), TAMIS_OK, "%s: %s", e.file, e.message);
	return s;
}

/* Opening fails, or reading does, with this status and this word in the message. */
static inline void check_refused(const char *spec, const struct data_input *in, int n, enum tamis_status want,
                                 const char *word)
{
	struct tamis_error e = {0};
	struct data_source *s;
	enum tamis_status status = data_open(&spec, 1, in, n, NULL, &s, &e);

	if (status == TAMIS_OK) {
		struct feed_reader r = data_reader(s);
		struct batch b = {.items = 1};

		while (status == TAMIS_OK && b.items > 0)
			status = r.next(r.self, 4, &b, &e);
		data_close(s);
	}
	cr_assert_eq(status, want, "%s: status %d, %s", spec, status, e.message);
	cr_assert_eq(e.status, want);
	cr_assert_not_null(strstr(e.message, word), "%s: '%s' is not in: %s", spec, word, e.message);
	cr_assert(e.file[0] != '\0', "%s: no file named: %s", spec, e.message);
}

#endif
