/* SPDX-License-Identifier: Apache-2.0 */
/* What may be done to the result of a convolution while it is in registers: activations, scalars, and one sum with
 * another image of the same shape. */
#ifndef EXEC_CHAINS_H
#define EXEC_CHAINS_H

#include "exec/uses.h"
#include "ops/blocked.h"

enum { CHAIN_STEPS = 6 * BLOCKED_AFTER };

struct chain {
	int value;     /* what the last step makes */
	int last;      /* the last step */
	int residual;  /* the value added by RESIDUAL; GRAPH_NONE: none */
	int n_after;
	struct blocked_after after[BLOCKED_AFTER];
	int n_steps;
	int steps[CHAIN_STEPS]; /* all that follow the convolution, in order */
};

/* The longest chain from the step that makes `value`, over steps that are not `gone`. In training programs it is
 * scalars, then one sum and one activation at most, whose slope follows from its result. O(length). */
void chain_find(const struct uses *u, const bool *gone, int step, int value, struct chain *out);

/* The longest one of scalars and activations alone, whatever their slopes: for a pass of its own over the image. */
void chain_find_maps(const struct uses *u, const bool *gone, int step, int value, struct chain *out);

#endif
