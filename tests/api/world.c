/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "data/npy.h"
#include "onnx/document.h"

const char *world_path(struct world *w, const char *name)
{
	char *p = w->text[w->n_text++ % 8];
	size_t dir = strlen(w->dir), size = strlen(name) + 1;

	cr_assert_leq(dir + 1 + size, sizeof w->text[0]);
	memcpy(p, w->dir, dir);
	p[dir] = '/';
	memcpy(p + dir + 1, name, size);
	return p;
}

void world_write(const char *path, const void *data, size_t size)
{
	FILE *f = fopen(path, "wb");

	cr_assert_not_null(f);
	cr_assert_eq(fwrite(data, 1, size, f), size);
	cr_assert_eq(fclose(f), 0);
}

uint8_t *world_read(const char *path, size_t *size)
{
	uint8_t *data = NULL;

	return file_read(path, SIZE_MAX / 2, &data, size, NULL) == TAMIS_OK ? data : NULL;
}

void world_write_npy(const char *path, enum dtype type, int rank, const int64_t *dims, const void *data)
{
	uint8_t *bytes;
	struct tensor t;
	size_t header;

	cr_assert_eq(tensor_shape(&t, type, rank, dims, NULL), TAMIS_OK);
	bytes = malloc(512 + tensor_bytes(&t));
	npy_format(&t, bytes, 512, &header);
	memcpy(bytes + header, data, tensor_bytes(&t));
	world_write(path, bytes, header + tensor_bytes(&t));
	free(bytes);
}

void world_write_model(struct document *d, const char *path)
{
	uint8_t *data;
	size_t size;

	cr_assert_eq(doc_pack(d, &data, &size, NULL), TAMIS_OK);
	world_write(path, data, size);
	free(data);
	doc_free(d);
}

static struct document *classifier(uint64_t seed)
{
	struct document *d = build_model(13);
	struct rng r = rng_make(seed, 5);

	build_input(d, "x", 2, (const int64_t[]){ -1, WIDTH });
	build_output(d, "logits", 2, (const int64_t[]){ -1, CLASSES });
	build_floats(d, "w1", 2, (const int64_t[]){ 16, WIDTH }, 0.7, &r);
	build_floats(d, "b1", 1, (const int64_t[]){ 16 }, 0.2, &r);
	build_floats(d, "w2", 2, (const int64_t[]){ CLASSES, 16 }, 1.5, &r);
	build_floats(d, "b2", 1, (const int64_t[]){ CLASSES }, 0.2, &r);
	build_number(d, build_node(d, "Gemm", "x w1 b1", "h"), "transB", 1);
	build_node(d, "Relu", "h", "a");
	build_number(d, build_node(d, "Gemm", "a w2 b2", "logits"), "transB", 1);
	return d;
}

void world_open(struct world *w, int64_t items, uint64_t seed)
{
	struct rng r = rng_make(seed, 6);
	int64_t dims[2] = { items, WIDTH };

	*w = (struct world){ .n = items };
	strcpy(w->dir, "/tmp/tamis-test-XXXXXX");
	cr_assert_not_null(mkdtemp(w->dir));
	w->items = malloc((size_t)(items * WIDTH + 1) * sizeof *w->items);
	for (int64_t i = 0; i < items * WIDTH; i++)
		w->items[i] = (float)rng_normal(&r);
	world_write_npy(world_path(w, "x.npy"), DT_FLOAT, 2, dims, w->items);
	world_write_model(classifier(seed), world_path(w, "m.onnx"));
	cr_assert_eq(tamis_model_open(world_path(w, "m.onnx"), NULL, &w->model, &w->err), TAMIS_OK, "%s",
	             w->err.message);
}

void world_close(struct world *w)
{
	DIR *d = opendir(w->dir);
	struct dirent *e;

	tamis_model_close(w->model);
	while (d && (e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			unlink(world_path(w, e->d_name));
	closedir(d);
	cr_assert_eq(rmdir(w->dir), 0);
	free(w->items);
}

struct tamis_calibration *world_items(struct world *w)
{
	const char *specs[] = { world_path(w, "x.npy") };
	struct tamis_calibration *c = NULL;

	cr_assert_eq(tamis_calibration_open(w->model, specs, 1, NULL, &c, &w->err), TAMIS_OK, "%s",
	             w->err.message);
	return c;
}

static int feeder_next(void *ctx, const struct tamis_feed_tensor **tensors, size_t *n)
{
	struct feeder *f = ctx;
	int64_t left = f->world->n - f->at, take = f->each && f->each < left ? f->each : left;

	if (f->stop_at >= 0 && f->at >= f->stop_at)
		return 1;
	f->dims[0] = take;
	f->dims[1] = WIDTH;
	f->tensor = (struct tamis_feed_tensor){ .name = "x", .type = DT_FLOAT, .rank = 2, .dims = f->dims,
		.data = f->world->items + f->at * WIDTH };
	*tensors = &f->tensor;
	*n = take > 0;
	f->at += take;
	return 0;
}

static int feeder_rewind(void *ctx)
{
	((struct feeder *)ctx)->at = 0;
	return 0;
}

struct tamis_reader feeder_open(struct feeder *f, const struct world *w, int64_t each)
{
	*f = (struct feeder){ .world = w, .each = each, .stop_at = -1 };
	return (struct tamis_reader){ .ctx = f, .next = feeder_next, .rewind = feeder_rewind };
}
