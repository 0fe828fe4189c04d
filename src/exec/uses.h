/* SPDX-License-Identifier: Apache-2.0 */
/* Who reads what in a program, for passes that look for patterns of steps. */
#ifndef EXEC_USES_H
#define EXEC_USES_H

#include "exec/plan.h"

struct uses {
	const struct program *program;
	const struct plan *plan; /* shapes of one run that the program may see; NULL: uses_shape is not asked */
	int *count;              /* by value: readings by steps, and one for a graph output */
	int (*reader)[2];        /* by value: the first two steps that read it, in order; the same one where it reads twice */
};

/* Arrays of malloc'ed memory; uses_free also after a failure. O(steps). */
enum tamis_status uses_find(const struct program *p, const struct plan *plan, struct uses *out, struct tamis_error *err);
void uses_free(struct uses *u);

/* Is the step an operator of the default domain with this name? */
bool step_is(const struct step *s, const char *name);

/* Is the step a function of one element that stays finite where nothing reads, and may work in place? Its parameters
 * may be further inputs. */
bool step_is_activation(const struct step *s);

/* Is the step the product of these two values? NULL is none. */
bool step_is_product(const struct step *s, int a, int b);

/* The constant at input i, NULL where it is none. */
const struct tensor *step_constant(const struct program *p, const struct step *s, int i);

/* Is input i one finite float that never changes? */
bool step_scalar(const struct program *p, const struct step *s, int i, float *value);

/* A float attribute of the step's node. */
float step_float(const struct step *s, const char *name, float fallback);

/* The bounds of a Clip, which are inputs, or attributes in old opsets. False: they may change. */
bool step_clip_bounds(const struct program *p, const struct step *s, float *low, float *high);

/* The one step that alone reads the value once; GRAPH_NONE where it has other readers or leaves the graph. */
int uses_only_reader(const struct uses *u, int value);

/* The shape of a float value of this rank; NULL for other values and unknown shapes. */
const struct tensor *uses_shape(const struct uses *u, int value, int rank);

#endif
