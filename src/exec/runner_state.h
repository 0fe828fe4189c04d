/* SPDX-License-Identifier: Apache-2.0 */
/* The insides of a runner, shared by the forward and the reverse pass. */
#ifndef EXEC_RUNNER_STATE_H
#define EXEC_RUNNER_STATE_H

#include "exec/runner.h"

#define PLAN_CACHE 4 /* sources with ragged shapes alternate between a few */

struct runner {
	const struct program *program;
	struct plan *plans[PLAN_CACHE]; /* most recently used first */
	const struct plan *plan;        /* of the last run */
	struct tensor *value;           /* by value id, of the last run */
	void *block;
	size_t block_bytes;
	struct scratch scratch;
	void **state;                   /* by step: what its operator keeps between runs */
	int64_t trips;                  /* through bodies, in the last run; those inside bodies count too */
	void **back;                    /* by step: the same for the reverse of a fused convolution */
	struct mask { uint32_t *bits; size_t words; } *mask; /* by step: where the activation after it has a slope */
	const struct tensor **in;       /* ports of the step in hand */
	struct tensor **out;
	const struct tensor **gout;
	struct tensor **gin;
	struct tensor *gradient;        /* by value id; data NULL = none yet */
	size_t *gradient_bytes;         /* by value id: behind gradient.data */
	struct spares { void **data; size_t *bytes; int n; size_t cap; } spares; /* memory of gradients that are done */
	double *energy;                 /* channels of the step in hand */
	size_t n_energy;
	bool *wants;                    /* by value id: lies on a path from a watched value */
};

#endif
