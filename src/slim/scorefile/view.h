/* SPDX-License-Identifier: Apache-2.0 */
/* A score file in figures, for reports: layers, their best and worst channels, and why single connections go. Strings
 * and arrays live in the arena that is handed over, or in the file. */
#ifndef SLIM_SCORE_VIEW_H
#define SLIM_SCORE_VIEW_H

#include "slim/scorefile/file.h"

#define SCORE_VIEW_ENDS 3 /* channels shown at either end of a layer */
#define SCORE_VIEW_CONNECTIONS 10 /* connections shown at either end of a tensor */

struct channel_line { int64_t channel; double score, gain; }; /* score: sum of pii over its connections */

struct scores_layer {
	const char *node, *op, *weight, *note;  /* note: why it was left alone; then nothing else is set */
	int64_t entries, features, significant, channels;
	struct distribution score, p;
	double gain_low, gain_median, gain_high;
	bool blind;                             /* no gradient came: its gain is 1 */
	struct channel_line best[SCORE_VIEW_ENDS], worst[SCORE_VIEW_ENDS]; /* from the outside in */
	int n_ends;
};

struct connection_line {
	int64_t out, in;        /* output channel; input feature of its group */
	double w, mean, variance, relevance, p, q, gain, score;
	bool significant;
	int64_t rank;           /* 1 = kept longest, among all connections of all layers; 0: zero, never kept */
};

struct scores_figures {
	const char *path;
	const char *source_sha256, *calibration_sha256, *options, *producer;
	int64_t items;
	uint64_t seed;
	double alpha, from, to;
	int shard, shards;      /* 0: whole; a shard has no layers below */
	bool random;
	int64_t tests, significant, connections;
	struct scores_layer *layers;
	size_t n_layers;
	const char *tensor;     /* whose connections follow; NULL: none were asked for */
	struct connection_line *connections_shown;
	size_t n_connections;
};

/* Fills all but the connections. TAMIS_E_MEMORY. O(entries). */
enum tamis_status score_view(const struct score_file *f, struct scores_figures *out, struct arena *arena,
                             struct tamis_error *err);

/* The connections of one tensor: the one between output channel `out` and input feature `in` (of its group), or with
 * both -1 those that are kept longest and those that go first. TAMIS_E_USAGE names what there is instead. */
enum tamis_status score_view_tensor(const struct score_file *f, const char *tensor, int64_t out, int64_t in,
                                    struct scores_figures *figures, struct arena *arena, struct tamis_error *err);

#endif
