/* SPDX-License-Identifier: Apache-2.0 */
/* What a run would test, read, hold and take, told without the run: `--dry-run`. */
#ifndef SLIM_FORECAST_H
#define SLIM_FORECAST_H

#include "slim/slim.h"

/* Parts of one phase are held at once. Phases follow each other, but the allocator may keep what earlier ones freed, in the
 * heap of the thread that used it: all count. */
enum forecast_phase { FORECAST_THROUGHOUT, FORECAST_SCORING, FORECAST_JUDGING, FORECAST_REFITTING, FORECAST_DISTILLING,
	FORECAST_WRITING, FORECAST_PHASES };

/* A term of the bound on the memory, in bytes. */
struct forecast_part { enum forecast_phase phase; const char *what, *formula; double bytes; };

/* Passes over items; cost: of one item and pass, in forward runs of one item. */
struct forecast_stage { const char *what; double items, passes, cost; };

struct forecast_layer {
	const char *node, *op, *weight, *shape; /* node name, operator, initializer name and its shape, "20x1x5x5" */
	int64_t entries, features, channels;    /* connections, tests, output channels */
	int64_t positions, tested;              /* of an item, and those that the test looks at */
	double macs;                            /* of an item */
	const char *note;                       /* why it is left alone; NULL where it would be tested */
};

struct forecast_figures {
	const char *model, *criterion, *features, *fdr; /* as in slim_figures */
	bool scores_only;                    /* of `score`: no search follows */
	int shard, shards;                   /* of `score`; 0: all items */
	int workers;
	int64_t chunk, group;                /* items run at a time, and added up at a time by scoring */
	bool stacked;                        /* items run together along the first axis */
	int64_t items, fitting, guessing, held_out; /* -1: the source does not tell how many it has */
	int64_t scored_again, refitted;      /* of the fitting items: seen by later rounds */
	int64_t tests, connections;          /* of the layers that would be tested */
	double macs;                         /* of an item, all layers */
	int rounds_least, rounds, rounds_most; /* expected; 0: none */
	struct forecast_layer *layers;
	size_t n_layers;
	struct forecast_part *parts;
	size_t n_parts;
	double phase_bytes[FORECAST_PHASES]; /* sums of the parts */
	double bytes;                        /* all phases together */
	struct forecast_stage *stages;
	size_t n_stages;
	double forward_runs;                 /* all stages together */
	double seconds_forward;              /* of one item, over all workers, as measured */
	double seconds_least, seconds, seconds_most; /* NAN where the number of items is not known */
};

/* Checks options, model and items as the run would, runs a few items forward to time them, and nothing else. The figures'
 * strings and arrays live in `arena`. Errors as slim_document, but never TAMIS_E_GATE. scores_only, shard, shards: as
 * slim_score would be called. */
enum tamis_status slim_forecast(const struct slim_inputs *in, bool scores_only, int shard, int shards,
                                struct forecast_figures *out, struct arena *arena, struct tamis_error *err);

/* "throughout", "scoring", ... */
const char *forecast_phase_name(enum forecast_phase phase);

#endif
