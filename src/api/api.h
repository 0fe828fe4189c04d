/* SPDX-License-Identifier: Apache-2.0 */
/* The insides of the public handles, and what several public functions share. */
#ifndef API_API_H
#define API_API_H

#include <time.h>

#include "base/error.h"
#include "data/reader.h"
#include "exec/items.h"
#include "onnx/document.h"
#include "report/report.h"
#include "slim/layers.h"
#include "tamis/tamis.h"

struct tamis_model {
	struct document *doc; /* checked; replaced by tamis_slim */
};

/* Items come from files (source) or from a caller's callbacks (reader.destroy is set). */
struct tamis_calibration {
	struct data_source *source, *held_out; /* NULL where there is none */
	struct feed_reader reader;
	struct feed_reader holdout;            /* next NULL: none */
	int64_t *labels, n_labels;             /* NULL: none; one an item of the holdout, where there is one */
	bool random;
	char sha256[65];                       /* hex; "" where the items are no files */
	struct data_input *inputs;             /* what the models that take these items must want; in the arena */
	int n_inputs;
	struct arena arena;
};

/* Callers may have no use for the details, but statuses are passed on in them: err, or `unheard` cleared where it is
 * NULL. */
struct tamis_error *api_error(struct tamis_error *err, struct tamis_error *unheard);

struct slim_inputs;

/* What the slim room takes of a model and its items; hashes the items once. `options` must outlive *out. */
enum tamis_status api_slim_inputs(struct tamis_model *m, struct tamis_calibration *c,
                                  const struct tamis_slim_options *options, struct slim_inputs *out,
                                  struct tamis_error *err);

/* The graph inputs that items must give, read from the document alone: works with operators that are not
 * supported. Strings and the array live in the arena. */
enum tamis_status api_inputs(const struct document *doc, struct arena *arena, struct data_input **out, int *n,
                             struct tamis_error *err);

/* A reader over a caller's callbacks; feeds of one item each are gathered into batches. The inputs must
 * outlive it; release with reader.destroy. */
enum tamis_status api_feeds(const struct tamis_reader *callbacks, const struct data_input *inputs,
                            int n_inputs, struct feed_reader *out, struct tamis_error *err);

/* The graph inputs of a model against those that the items were opened for, names and types in order:
 * TAMIS_E_INVALID where they differ. */
enum tamis_status api_same_inputs(const struct tamis_calibration *c, const struct tamis_model *m,
                                  struct tamis_error *err);

/* A model as a graph, made ready to run forward. g and p are released by graph_free and program_free also
 * after a failure. */
enum tamis_status api_program(const struct tamis_model *m, struct graph **g, struct program **p,
                              struct tamis_error *err);

/* A reader cut off after `limit` items (0 = all). The struct is the state; nothing to release. */
struct api_limited {
	struct feed_reader *inner;
	int64_t limit, given;
};
struct feed_reader api_limit(struct api_limited *state, struct feed_reader *inner, int64_t limit);

/* Items a chunk (items_chunk) for a program and items like the first one of this reader. *whole: the first feed is
 * one of the ONNX layout, fed as it is. Rewinds the reader. */
enum tamis_status api_chunk(const struct program *p, struct feed_reader *reader, int64_t *chunk, bool *whole,
                            struct tamis_error *err);

/* The groups of a graph's channels, as info --groups shows them, into r->info.groups. plan: of one item. TAMIS_E_MEMORY. */
enum tamis_status api_groups(struct tamis_report *r, const struct graph *g, const struct plan *plan,
                             const struct layers *l, struct tamis_error *err);

/* Tells an observer of one phase, a few times a second. */
struct api_watch {
	const struct tamis_observer *observer;
	const char *phase;
	int64_t total; /* -1: unknown */
	struct timespec start, last;
	bool told;
};
void api_watch_start(struct api_watch *w, const struct tamis_observer *observer, const char *phase,
                     int64_t total);
/* TAMIS_E_CANCELLED when the observer wants to stop. */
enum tamis_status api_watch_tell(struct api_watch *w, int64_t done, struct tamis_error *err);

#endif
