/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that are made of others: a parse function lists stages, each a row of the table with attributes
 * of its own,
 * and shape, run and reverse follow from theirs. */
#ifndef OPS_COMPOSE_H
#define OPS_COMPOSE_H

#include "graph/op.h"

#define COMPOSE_PORTS 8

/* Names of values within a composition: inputs of the node are 0, 1, ..., what stages make is below. */
enum {
	COMPOSE_NONE = -1, /* an absent input or an unwanted output */
	COMPOSE_OUT = 16,  /* the node's first output; COMPOSE_PORTS of them */
	COMPOSE_TEMP = COMPOSE_OUT + COMPOSE_PORTS,
	COMPOSE_VALUES = COMPOSE_TEMP + 16
};

/* An attribute of a stage: an integer, a float, or a list of integers. */
struct compose_attr {
	const char *name; /* NULL ends a list */
	enum { COMPOSE_INT, COMPOSE_FLOAT, COMPOSE_INTS, COMPOSE_STRING } kind;
	int64_t i;
	float f;
	int n;
	const int64_t *ints;
	const char *text;
};

/* One stage. Ports are values; unlisted ones must be COMPOSE_NONE or beyond the counts. */
struct compose_stage {
	const char *name;     /* of an operator of the default domain, or NULL: */
	const struct op *op;  /* this row */
	int opset;
	const struct compose_attr *attrs; /* NULL: none */
	bool own;             /* the stage reads the attributes of the composed node itself */
	int n_in, n_out;
	int in[COMPOSE_PORTS], out[COMPOSE_PORTS];
};

/* Whether input i of the node being parsed is there. */
bool compose_has(const struct op_parse *p, int i);

/* Appends a stage to the composition in *attr, which is made by the first call. Stages are in the order they
 * run. */
enum tamis_status compose_add(struct op_parse *p, void **attr, const struct compose_stage *stage);

/* The three steps of such a row: node->attr is a composition. */
enum tamis_status compose_shape(struct op_call *c);
enum tamis_status compose_run(struct op_call *c);
enum tamis_status compose_reverse(struct op_grad *g);

#endif
