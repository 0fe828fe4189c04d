/* SPDX-License-Identifier: Apache-2.0 */
/* What a score file holds (proto/tamis_scores.proto documents the file itself), in memory: the scores of a whole set of
 * items, or the sums of a shard. No model is needed to read one: shapes, names and weights are in it. */
#ifndef SLIM_SCORE_FILE_H
#define SLIM_SCORE_FILE_H

#include "base/tensor.h"
#include "slim/score/criteria.h"
#include "slim/score/score_sums.h"
#include "slim/score/significance.h"
#include "stat/distribution.h"

#define SCORE_FILE_VERSION 3

/* What the scores were made of. Files whose origins differ do not belong together. */
struct score_origin {
	const char *source_sha256;
	const char *calibration_sha256; /* NULL: the items came from no file */
	uint64_t seed;
	double from, to;                /* hashes of the items scored, as fractions */
	int64_t chunk;
	bool stacked, random;
	double alpha;                   /* behind the p-values that were inverted, and ... */
	enum fdr_rule fdr;              /* ... the rule of q */
	const char *options;            /* everything else that the scores depend on, as text */
	struct head head;               /* graph NULL */
	struct score_input { const char *name; int type, rank; int64_t dims[TENSOR_MAX_RANK]; } *input; /* of one item */
	int n_inputs;
};

struct scored_layer {
	const char *node, *op, *weight;
	int rank;
	int64_t dims[TENSOR_MAX_RANK]; /* of the weight */
	int64_t tested_positions;      /* that the test looked at */
	float *w;                      /* entries; NULL where the layer is left alone */
	double *q;                     /* features; NULL there and in a shard */
	struct distribution score, p;  /* of pii of the entries, and of the p-values */
};

struct scored_parameter {
	const char *name;
	int rank;
	int64_t dims[TENSOR_MAX_RANK], entries;
	float *w;     /* entries; a shard */
	float *score; /* entries: w^2 E (dL/dw)^2; a whole file */
};

struct score_file {
	const char *producer;
	struct score_origin origin;
	struct layers layers;           /* node, weight: positions in `layer`; bias: none */
	struct scored_layer *layer;     /* as many */
	struct scored_parameter *parameter;
	int n_parameters;
	int shard, shards;              /* from 1; shards 0: a whole file */
	struct score_sums sums;         /* of a shard */
	struct scores scores;           /* of a whole file, without moments */
	int64_t items;                  /* behind sums or scores */
	struct arena arena;
};

/* A shard's sums become scores: tests, false discovery rate, distributions. For shards once they are merged, and for a
 * run over all items. TAMIS_E_MEMORY. */
enum tamis_status score_file_finish(struct score_file *f, struct tamis_error *err);

/* Adds the shards of one set, each once, in any order: start with one, merge the others into it, end. TAMIS_E_INVALID
 * says what does not belong, or is missing. *seen: one flag a shard, the caller's to free(). */
enum tamis_status score_file_merge_start(struct score_file *sum, bool **seen, struct tamis_error *err);
enum tamis_status score_file_merge(struct score_file *sum, const struct score_file *next, bool *seen,
                                   struct tamis_error *err);
enum tamis_status score_file_merge_end(struct score_file *sum, const bool *seen, struct tamis_error *err);

/* pii of every entry of a layer of a whole file, in the order of its weight. TAMIS_E_MEMORY. */
enum tamis_status score_file_scores(const struct score_file *f, int layer, float *out, struct tamis_error *err);

/* Position of a layer by the name of its weight; -1: none. O(layers). */
int score_file_find(const struct score_file *f, const char *weight);

/* Reads a whole file or a shard under the limits that models are read under: TAMIS_E_INVALID, with the reason, for
 * anything that is not one, TAMIS_E_MEMORY. max_bytes 0 = what one protobuf file can hold. `out` zeroed; released
 * also after a failure. */
enum tamis_status score_file_read(const char *path, uint64_t max_bytes, struct score_file *out, struct tamis_error *err);
enum tamis_status score_file_unpack(const uint8_t *data, size_t size, struct score_file *out, struct tamis_error *err);

/* *data is malloc'ed, the caller's. TAMIS_E_OUTPUT above 2 GiB, TAMIS_E_MEMORY. */
enum tamis_status score_file_pack(const struct score_file *f, uint8_t **data, size_t *size, struct tamis_error *err);
enum tamis_status score_file_write(const struct score_file *f, const char *path, struct tamis_error *err);

void score_file_free(struct score_file *f); /* leaves it zeroed */

#endif
