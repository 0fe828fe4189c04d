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

/* Which branch an If runs. */
static inline const char *control_branch(const struct tensor *condition)
{
	return tensor_get_int(condition, 0) ? "then_branch" : "else_branch";
}

#endif
