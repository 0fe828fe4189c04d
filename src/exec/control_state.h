/* SPDX-License-Identifier: Apache-2.0 */
/* What a step of control flow keeps between its runs, for the forward and the reverse pass: one for each body of the
 * node, in their order. */
#ifndef EXEC_CONTROL_STATE_H
#define EXEC_CONTROL_STATE_H

#include "exec/runner.h"

struct inner {
	struct program *program;
	struct runner *runner;
	struct tensor *in; /* what the runner takes: the body's own inputs, then the captured ones */
};

/* A node on its way back. gin[i] (NULL: not wanted) gets what reaches input i. */
struct reversal {
	const struct body *body;
	struct inner *inner;
	const struct tensor *const *in, *const *gout;
	struct tensor *const *gin;
	void (*no_reverse)(void *ctx, int graph_node);
	void *ctx;
	int graph_node;
};

/* Reverse of a Loop or of a Scan from opset 9 on. O(trips) runs and reverses of the body; TAMIS_E_MEMORY where the
 * states of all trips exceed the document's max_memory. */
enum tamis_status trips_reverse(const struct reversal *r, const struct step *step, struct tamis_error *err);

/* A scalar as the body declares its input: of rank 0, or of rank 1 as some exporters have it. */
static inline struct tensor control_scalar(const struct graph *g, int input, enum dtype type, void *data)
{
	struct tensor t = { .type = type, .count = 1, .data = data };

	if (g->values[g->inputs[input]].declared.rank == 1) {
		t.rank = 1;
		t.dims[0] = 1;
	}
	return t;
}

/* Which branch an If runs. */
static inline const char *control_branch(const struct tensor *condition)
{
	return tensor_get_int(condition, 0) ? "then_branch" : "else_branch";
}

#endif
