/* SPDX-License-Identifier: Apache-2.0 */
/* One worker that runs a program: forward, and backward from any outputs. Holds the memory; plans are cached by input
 * shape. One thread at a time. */
#ifndef EXEC_RUNNER_H
#define EXEC_RUNNER_H

#include "exec/plan.h"

struct runner; /* opaque */

/* What a caller may watch. Tensors are valid during the call only. */
struct run_hooks {
	void *ctx;
	/* After a step whose graph node is watched: its tensors as the operator saw them. Folded nodes and views that
	 * cost nothing are no steps and are not reported. Where the program was not made with `training`, the output may
	 * have taken an input's place. */
	const bool *watch_node; /* by graph node; NULL = none */
	enum tamis_status (*node)(void *ctx, int graph_node, struct op_call *call, struct tamis_error *err);
	/* During the reverse pass, when the gradient of a watched value is complete. FLOAT or DOUBLE, shaped as the value. */
	const bool *watch_grad; /* by graph value; NULL = none */
	enum tamis_status (*grad)(void *ctx, int value, const struct tensor *gradient, struct tamis_error *err);
	/* In programs with `energies`, for watched values that a step hides: the sums over items and positions of the squared
	 * gradient, by channel of axis 1. */
	enum tamis_status (*energy)(void *ctx, int value, const double *energy, struct tamis_error *err);
	/* An operator without a reverse was met: gradients do not pass it. NULL = an error instead. */
	void (*no_reverse)(void *ctx, int graph_node);
};

enum tamis_status runner_create(const struct program *p, struct runner **out, struct tamis_error *err);
void runner_free(struct runner *r); /* NULL is fine */

/* Runs forward on the graph inputs (in order; types and ranks are checked against the declared ones). hooks may be
 * NULL. Input data must stay valid until the reverse pass, if any, is over. TAMIS_E_MEMORY also when the values that
 * live at once, one of unplanned shape, or the scratch of an operator takes more than the document's max_memory. */
enum tamis_status runner_run(struct runner *r, const struct tensor *in, const struct run_hooks *hooks,
                             struct tamis_error *err);

/* Graph output i of the last run; valid until the next one. */
const struct tensor *runner_output(const struct runner *r, int i);
/* Times that the last run went through a body of a Loop, a Scan or an If. */
int64_t runner_trips(const struct runner *r);
/* Any graph value of the last run (a training program), NULL when it was never made. */
const struct tensor *runner_value(const struct runner *r, int value);

/* The same value in blocks (ops/blocked.h), where that is its only form; NULL otherwise. */
const struct tensor *runner_blocks(const struct runner *r, int value);

/* Reverse pass of the last run, of a program made with `training`. seed: one tensor per graph output, the gradient
 * there (data NULL = zero). Watched gradients reach hooks->grad: those of constants at the end, in order of id, those
 * of other values as soon as they are complete. Only paths from watched values to seeded outputs are walked. */
enum tamis_status runner_reverse(struct runner *r, const struct tensor *seed, const struct run_hooks *hooks,
                                 struct tamis_error *err);

/* Bytes this runner holds now for values and scratch; compiled kernels and plans come on top. */
size_t runner_bytes(const struct runner *r);

#endif
