/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that build a graph share. Used inside this room only. */
#ifndef GRAPH_BUILD_H
#define GRAPH_BUILD_H

#include "graph/graph.h"

#define BUILD_MAX_EXPANDED 1000000 /* nodes and values that functions of one model may expand to */

/* What domains mean in a model or in a function's body. */
struct opsets {
	Onnx__OperatorSetIdProto **list;
	size_t n;
};

/* A node to be built: of the graph itself, or of a function in place of its call. */
struct expanded {
	Onnx__NodeProto *proto;
	const struct opsets *opsets;
	bool inlined; /* proto is a copy in the graph's arena */
};

/* Version of a domain; 0 when it is not imported. */
int64_t opsets_version(const struct opsets *o, const char *domain);

/* The nodes of g->proto in order, each call of a model function without a kernel of that name replaced by the
 * function's nodes: values get names of their own, attribute references what the call states or the function's
 * default. *out is malloc'ed, the caller's. TAMIS_E_UNSUPPORTED on calls deeper than DOC_MAX_SUBGRAPHS (recursion) or
 * more than BUILD_MAX_EXPANDED nodes and values. O(nodes and values made). */
enum tamis_status functions_expand(struct graph *g, const struct op_table *ops, const struct opsets *opsets,
                                   bool inlined, struct expanded **out, size_t *n, struct tamis_error *err);

/* Builds the graphs that are attributes of a control-flow node, and appends what they capture to the node's inputs. */
enum tamis_status bodies_build(struct graph *g, struct node *n, const struct op_table *ops, struct tamis_error *err);

/* Builds one graph inside node n of `outer`, which has connected all nodes before n. */
enum tamis_status graph_build_body(struct graph *outer, const struct node *n, Onnx__GraphProto *proto,
                                   const struct op_table *ops, struct graph **out, struct tamis_error *err);

/* The value that an enclosing graph gives this name, as one more input of g and of every graph in between; *id
 * GRAPH_NONE when none gives it. */
enum tamis_status graph_capture(struct graph *g, const char *name, int *id, struct tamis_error *err);

#endif
