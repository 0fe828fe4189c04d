/* SPDX-License-Identifier: Apache-2.0 */
/* Shapes and memory of one program for one set of input shapes. Values whose shape depends on data are marked dynamic
 * and get memory while running; all others have a place in one block, shared by values that are never alive at once. */
#ifndef EXEC_PLAN_H
#define EXEC_PLAN_H

#include "exec/program.h"

enum place {
	PLACE_NONE,     /* never made (an output nobody wants) */
	PLACE_CONSTANT, /* of the program */
	PLACE_FOLDED,   /* computed while planning: shapes and what follows from them */
	PLACE_INPUT,    /* the caller's tensor */
	PLACE_BLOCK,    /* at `offset` in the runner's block */
	PLACE_VIEW,     /* the memory of value `of` */
	PLACE_DYNAMIC   /* shape unknown until it runs */
};

struct planned {
	struct tensor shape;  /* type and dims; data only for PLACE_FOLDED */
	enum place place;
	int of;               /* PLACE_VIEW */
	int last_use;         /* step after which the memory is free; n_steps = kept to the end */
	size_t offset;
};

struct plan {
	const struct program *program;
	struct planned *value;  /* by value id */
	int n_values;           /* of the program, when it was planned */
	bool *folded;           /* by step: nothing to run */
	size_t block_bytes;     /* memory of one runner for values with known shapes */
	bool dynamic;           /* some value has PLACE_DYNAMIC */
};

/* in: shapes of the graph inputs, in order. Shape errors of the model with these inputs are TAMIS_E_INVALID, naming
 * the node. O(steps * values alive at once) at worst, linear on real graphs. */
enum tamis_status plan_create(const struct program *p, const struct tensor *in, struct plan **out,
                              struct tamis_error *err);
void plan_free(struct plan *p); /* NULL is fine */

#endif
