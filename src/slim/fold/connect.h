/* SPDX-License-Identifier: Apache-2.0 */
/* Who reads what, while nodes go. */
#ifndef SLIM_FOLD_CONNECT_H
#define SLIM_FOLD_CONNECT_H

#include "graph/graph.h"
#include "onnx/document.h"

struct connections {
	struct document *doc;
	const struct graph *graph;
	int *stands_for;  /* by value: what is read in its place */
};

enum tamis_status connect_open(struct connections *c, struct document *doc, const struct graph *g, struct tamis_error *err);
void connect_close(struct connections *c);

/* Whether all that read a value can be given another: no body captures it, no function reads it, and it is no output. */
bool connect_can(const struct graph *g, int value);
/* An input reads a value, or what stands for it by now. */
enum tamis_status connect_input(const struct connections *c, int node, int input, int value, struct tamis_error *err);
/* All that read `from` read `to`. */
enum tamis_status connect_all(struct connections *c, int from, int to, struct tamis_error *err);

#endif
