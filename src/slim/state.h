/* SPDX-License-Identifier: Apache-2.0 */
/* What the passes of slim.c hand to each other. */
#ifndef SLIM_STATE_H
#define SLIM_STATE_H

#include <regex.h>

#include "slim/search/cut.h"
#include "slim/gate.h"
#include "slim/search/rounds.h"
#include "slim/scorefile/file.h"
#include "slim/score/score_sums.h"
#include "slim/slim.h"

/* A source of items as the passes read it. */
struct item_source {
	struct feed_reader *reader;
	enum batching batching;
	int64_t chunk;
	uint64_t seed;
	double from, to; /* items whose hash, as a fraction, lies in [from, to) */
};

struct slim {
	const struct slim_inputs *in;
	struct slim_figures *figures;
	struct arena *arena;
	const struct criterion *criterion;
	enum fdr_rule fdr;
	const char *pass;          /* in hand */
	struct pool *pool;
	regex_t only, skip;
	bool has_only, has_skip;

	struct document *doc;      /* being slimmed */
	struct graph *graph;       /* of doc; constants are edited by the search */
	struct graph *original;    /* of in->doc, never edited */
	struct graph *reference;   /* of doc before any cut: the same nodes and values as graph */
	struct plan *plan;         /* of graph, one item: shapes */
	struct program *program;   /* behind plan */
	struct layers layers;
	struct parameters parameters; /* of reference and of graph until pass_cut */

	struct item_source fit, again, refitted, guess, held; /* again, refitted: what of fit later rounds score and refit on */
	double share_held;         /* of items, for the gate */
	int64_t n_fit;
	struct head head;
	struct scores scores;
	struct score_file given;   /* that the scores were taken from: their arrays live in it */
	struct significance significance;
	struct gate gate, guess_gate;
	bool gate_open, guess_open;
	struct rounds_result search;
	struct gate_result verdict;

	double started;            /* clock at the start, seconds */
	double work_done, work_total; /* units: forward runs of one item */
	double distil_cost;        /* of an item and epoch at the present depth, in these units */
	double fraction;           /* told last, never to fall */
	double told;               /* clock at the last call of the observer */
};

enum tamis_status slim_open(struct slim *s, struct tamis_error *err);  /* checks the options, starts workers */
void slim_close(struct slim *s);
void slim_note_time(struct slim *s, double seconds);                   /* of the pass in hand */
enum tamis_status slim_dump(const struct slim *s, struct tamis_error *err); /* state after the pass in hand, as text */
bool slim_has_pass(const char *name);
bool item_selected(void *source, int64_t item);                        /* ctx: struct item_source */
int64_t item_source_count(struct item_source *source);                 /* -1 where the reader cannot tell */
/* Builds graph, plan and layers of s->doc anew. */
enum tamis_status slim_index(struct slim *s, struct tamis_error *err);
struct layer_filter slim_filter(const struct slim *s); /* of --only, --skip and --mutable-initializers */

/* What was asked for, as text; NULL when out of memory. */
const char *slim_describe_options(struct slim *s);
/* What scores depend on, beside items, seed and alpha; in `a`. NULL when out of memory. */
const char *slim_describe_scoring(const struct slim *s, struct arena *a);

/* Figures of the model as it is now, of each layer before the cut, and of what is left of them. */
enum tamis_status figures_before(struct slim *s, struct tamis_error *err);
enum tamis_status figures_layers(struct slim *s, struct tamis_error *err);
/* "20x1x5x5", in `a`; NULL when out of memory. */
const char *figures_shape(struct arena *a, const struct tensor *t);
/* Of one layer, whose weight in the graph is cut; *out in the arena. */
enum tamis_status figures_histogram(struct slim *s, int i, const struct layer_histogram **out, struct tamis_error *err);
enum tamis_status figures_after(struct slim *s, struct tamis_error *err);

enum tamis_status pass_copy(struct slim *s, struct tamis_error *err);
enum tamis_status pass_layers(struct slim *s, struct tamis_error *err);
enum tamis_status pass_score(struct slim *s, struct tamis_error *err);
/* The sums behind pass_score of shard `shard` of `shards` (from 1; 0 shards: all), and the head. */
enum tamis_status pass_sum(struct slim *s, int shard, int shards, struct score_sums *out, struct tamis_error *err);
/* Instead of scoring: the scores of in->options->scores, and the head. TAMIS_E_INVALID for a file that is no score file
 * or of another model, TAMIS_E_USAGE where options or split contradict it. Warns where it is of other items. */
enum tamis_status scores_take(struct slim *s, struct tamis_error *err);
enum tamis_status pass_significance(struct slim *s, struct tamis_error *err);
enum tamis_status pass_gate(struct slim *s, struct tamis_error *err);
enum tamis_status pass_search(struct slim *s, struct tamis_error *err);
enum tamis_status pass_cut(struct slim *s, struct tamis_error *err);
enum tamis_status pass_fold(struct slim *s, struct tamis_error *err);
enum tamis_status pass_channels(struct slim *s, struct tamis_error *err);
enum tamis_status pass_storage(struct slim *s, struct tamis_error *err);
enum tamis_status pass_verify(struct slim *s, struct tamis_error *err);
enum tamis_status pass_provenance(struct slim *s, struct tamis_error *err);
enum tamis_status pass_figures(struct slim *s, struct tamis_error *err);

#endif
