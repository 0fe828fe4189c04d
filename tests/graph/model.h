/* SPDX-License-Identifier: Apache-2.0 */
/* Small models made in the test. Everything fails through criterion. */
#ifndef TESTS_GRAPH_MODEL_H
#define TESTS_GRAPH_MODEL_H

#include "base/rng.h"
#include "graph/graph.h"
#include "onnx/document.h"

#define DIMS(...) (int)(sizeof (int64_t[]){ __VA_ARGS__ } / sizeof(int64_t)), (int64_t[]){ __VA_ARGS__ }
#define SCALAR 0, NULL

/* An empty model, IR 8, of this opset of the default domain. doc_free it. */
struct document *model_new(int64_t opset);

/* Graph inputs; -1 = the symbol N. Outputs are declared by name alone. */
void model_input(struct document *d, const char *name, enum dtype type, int rank, const int64_t *dims);
void model_output(struct document *d, const char *name);

/* An initializer of these values, row-major, or of random ones where values is NULL: for floats normal numbers divided
 * by the root of the elements behind axis 0, for integers 0..3. */
void model_constant(struct document *d, const char *name, enum dtype type, int rank, const int64_t *dims,
                    const double *values, struct rng *r);
void model_ints(struct document *d, const char *name, int n, const int64_t *values); /* int64, rank 1 */

/* A node; names are separated by blanks, "-" is an absent one. */
Onnx__NodeProto *model_node(struct document *d, const char *op, const char *inputs, const char *outputs);
void node_int(struct document *d, Onnx__NodeProto *n, const char *name, int64_t value);
void node_ints(struct document *d, Onnx__NodeProto *n, const char *name, int count, const int64_t *values);
void node_float(struct document *d, Onnx__NodeProto *n, const char *name, double value);

/* The graph, verified. graph_free it. */
struct graph *model_graph(struct document *d);

/* A tensor with data: random as above when values is NULL. tensor_free it. */
struct tensor tensor_make(enum dtype type, int rank, const int64_t *dims, const double *values, struct rng *r);
/* Same type, shape and bits (NaN with other bits is another value). */
bool tensor_equal(const struct tensor *a, const struct tensor *b);

#endif
