/* SPDX-License-Identifier: Apache-2.0 */
/* What the original gave on some chunks, so that it need not run on them again. */
#ifndef SLIM_REFIT_KEPT_H
#define SLIM_REFIT_KEPT_H

#include "exec/runner.h"

/* Of one layer, or the outputs. */
struct refit_blocks {
	float **block;   /* by chunk, of those that are kept; NULL: that chunk has none */
	size_t cap, floats;
	int64_t chunks;
	int64_t every;   /* of the chunks, each so many-th is kept; 0: none */
	bool refused;    /* there were too many, or memory ran out: the original runs again */
	bool whole;      /* all chunks are there */
};

struct refit_kept {
	struct refit_blocks *of; /* by layer; then the outputs that are compared, and those that tuning looks at */
	int n;
	size_t floats, most;     /* of all of them: now, and at most */
};

/* In `arena`. */
enum tamis_status refit_kept_open(struct refit_kept *k, int n, size_t most, struct arena *arena, struct tamis_error *err);
/* Takes over the next chunk's block, malloc'ed, n >= 0 floats; a NULL of n > 0 floats is memory that ran out. Where all that is kept
 * grows beyond `most`, the largest part that is not whole is refused, until it does not. O(k->n). */
void refit_kept_add(struct refit_kept *k, int part, float *block, int64_t n);
/* Nothing of that part is kept, neither now nor later. */
void refit_kept_refuse(struct refit_kept *k, int part);
/* Gives up what a run that failed has left of it. */
void refit_kept_restart(struct refit_kept *k, int part);
/* After the last chunk. */
void refit_kept_close(struct refit_kept *k, int part);
bool refit_kept_whole(const struct refit_kept *k, int part);
/* The floats of the nth chunk of those that are kept; of[part].whole. */
const float *refit_kept_of(const struct refit_kept *k, int part, int64_t nth);
/* A copy of all n outputs of a run, for refit_kept_add. NULL where one is not FLOAT (only floats are nothing but what a run would give),
 * or memory ran out. */
float *refit_kept_outputs(const struct runner *r, int n, int64_t *floats);
void refit_kept_free(struct refit_kept *k);

#endif
