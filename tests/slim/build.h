/* SPDX-License-Identifier: Apache-2.0 */
/* Small models made in the test, run before and after a pass. A test ends at the first thing that fails
 * here. */
#ifndef TESTS_SLIM_BUILD_H
#define TESTS_SLIM_BUILD_H

#include "base/rng.h"
#include "graph/graph.h"
#include "onnx/document.h"

/* An empty model, IR 8, of this opset. doc_free it. */
struct document *build_model(int64_t opset);

/* Graph inputs and outputs, float; -1 = the symbol N. value_info takes the dimensions as they are. */
void build_input(struct document *d, const char *name, int rank, const int64_t *dims);
void build_output(struct document *d, const char *name, int rank, const int64_t *dims);
void build_value_info(struct document *d, const char *name, int rank, const int64_t *dims);

/* A float initializer of normal numbers times `scale`; its elements, which may be changed as long as no other
 * edit is made to it. */
float *build_floats(struct document *d, const char *name, int rank, const int64_t *dims, double scale,
                    struct rng *r);
void build_ints(struct document *d, const char *name, int64_t n, const int64_t *values);
/* of an initializer; NULL when there is none */
float *build_elements(struct document *d, const char *name);
/* of an initializer; -1 when there is none */
int64_t build_extent(struct document *d, const char *name, int axis);

/* A node; names are separated by blanks, "-" is an absent input. */
Onnx__NodeProto *build_node(struct document *d, const char *op, const char *inputs, const char *outputs);
void build_attribute(struct document *d, Onnx__NodeProto *n, const char *name, int64_t count,
                     const int64_t *values);
void build_number(struct document *d, Onnx__NodeProto *n, const char *name, int64_t value);
void build_text(struct document *d, Onnx__NodeProto *n, const char *name, const char *value);

/* Graph output 0 for `items` items of normal numbers (the same for the same seed); *count is its length.
 * free() it. */
float *build_run(struct document *d, int64_t items, uint64_t seed, int64_t *count);

/* channels_remove until nothing is removed, with the document checked after each round. How many went in
 * all. */
int64_t build_remove(struct document *d);

/* Runs, removes and runs again: the outputs must agree to `tolerance` of their largest magnitude. How many
 * went. */
int64_t build_remove_and_compare(struct document *d, double tolerance);

#endif
