/* SPDX-License-Identifier: Apache-2.0 */
/* A directory, a small classifier and items for it. A test ends at the first thing that fails here. */
#ifndef TESTS_API_WORLD_H
#define TESTS_API_WORLD_H

#include "build.h"
#include "tamis/tamis.h"

#define WIDTH 8    /* of an item */
#define CLASSES 4

struct world {
	char dir[64];
	char text[8][128];    /* paths that world_path made, in turn */
	int n_text;
	float *items;         /* n x WIDTH */
	int64_t n;
	struct tamis_model *model;
	struct tamis_error err;
};

/* items normal numbers in DIR/x.npy, the model x[N,8] -> Gemm 16 -> Relu -> Gemm 4 -> logits in DIR/m.onnx,
 * opened. */
void world_open(struct world *w, int64_t items, uint64_t seed);
void world_close(struct world *w);                               /* removes the directory */
const char *world_path(struct world *w, const char *name);       /* DIR/name, until eight calls later */
void world_write(const char *path, const void *data, size_t size);
/* free() it; NULL when there is no such file */
uint8_t *world_read(const char *path, size_t *size);
void world_write_npy(const char *path, enum dtype type, int rank, const int64_t *dims, const void *data);
void world_write_model(struct document *d, const char *path);    /* and frees it */
struct tamis_calibration *world_items(struct world *w);          /* from x.npy */

/* A caller's reader over items of a world: feeds of `each` items (0 = all at once). */
struct feeder {
	const struct world *world;
	int64_t each, at;
	int64_t stop_at;      /* item before which next returns 1; -1 = never */
	int64_t dims[2];
	struct tamis_feed_tensor tensor;
};
struct tamis_reader feeder_open(struct feeder *f, const struct world *w, int64_t each);

#endif
