/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the method share: items in memory, a model laid open as the passes see it, and small nets. A test
 * ends at the first thing that fails here. */
#ifndef TESTS_SLIM_NETS_H
#define TESTS_SLIM_NETS_H

#include "base/parallel.h"
#include "build.h"
#include "exec/feed.h"
#include "exec/runner.h"
#include "slim/layers.h"

#define DIMS(...) ((const int64_t[]){ __VA_ARGS__ })

void must(enum tamis_status s, const struct tamis_error *err, const char *what);

/* Items in memory, stacked along axis 0, in order of the graph inputs. */
struct shelf {
	struct tensor in[4], lent[4];
	int n;
	int64_t items, at;
	int64_t calls, fail_at;       /* calls of next so far; which of them fails (0: none) */
	enum tamis_status fail_with;
	bool uncounted;               /* does not know how many it holds */
};

/* Standard normal items for the inputs of a graph. */
void shelf_fill(struct shelf *s, const struct graph *g, int64_t items, uint64_t seed);
struct feed_reader shelf_reader(struct shelf *s);
void shelf_free(struct shelf *s);

/* A model as the passes see it; owns the document. */
struct lab {
	struct document *doc;
	struct graph *graph, *original; /* two builds of the same document: the first may be edited */
	struct program *program;
	struct plan *plan;              /* of one item */
	struct layers layers;
	struct shelf shelf;
	struct feed_reader reader;
};

void lab_open(struct lab *l, struct document *d, int64_t items, uint64_t seed);
void lab_open_filtered(struct lab *l, struct document *d, int64_t items, uint64_t seed, const struct layer_filter *f);
void lab_close(struct lab *l);
int lab_layer(const struct lab *l, const char *weight);          /* its index; the test ends when there is none */
struct tensor *lab_constant(struct graph *g, const char *name);  /* the same for a constant */

/* Output `i` of a graph for the shelf's items, as doubles; free() it. */
double *lab_outputs(const struct lab *l, const struct graph *g, int i, int64_t *count);

/* Turns all float initializers, inputs, outputs and value_info into another float type. */
void nets_retype(struct document *d, enum dtype type);

/* The nets. `x` is the input.
 * logits: x[N,2,5,5] Conv 4 (3x3, pads 1, group 2, bias) Relu Flatten Gemm 3 (transB, alpha 1/2, bias)
 * probabilities: x[N,3,4] MatMul 5 Add Relu Flatten Gemm 3 (beta 1/2) Softmax
 * general: x[N,6] Gemm 5 (no bias) Tanh h; y1 = Gemm 2 of h, y2 = MatMul 3 of h
 * deep: x[N,20] Gemm 24 Relu Gemm 24 Relu Gemm 4, logits of large spread */
struct document *net_logits(uint64_t seed);
struct document *net_probabilities(uint64_t seed);
struct document *net_general(uint64_t seed);
struct document *net_deep(uint64_t seed);

/* x[N,2,5,5] times 0.3, minus 0.1, Conv 8 (3x3), clip(z + 3, 0, 6) z / 6 = t; a branch of Conv 8, Relu and a Conv 8 of zeros is added
 * to t; Flatten Gemm 3, logits */
struct document *net_foldable(uint64_t seed);

/* x[N,6,8]: attention of one head (MatMul and Add for q, k, v and the way out), residual sum, LayerNormalization, two
 * MatMuls with Adds and Relu between, residual sum -> y[N,6,8] */
struct document *net_block(uint64_t seed);

#endif
