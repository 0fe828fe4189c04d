/* SPDX-License-Identifier: Apache-2.0 */
/* One node at a time: builds a node in memory, runs its row's parse, shape and run, compares, and checks
 * reverse against central differences. Everything fails through criterion, so there are no statuses to look
 * at unless a test wants one. A case is used once: case_new, attributes, inputs, then case_run, case_status
 * or check_reverse. */
#ifndef TESTS_OPS_HARNESS_H
#define TESTS_OPS_HARNESS_H

#include <onnx.pb-c.h>

#include "base/memory.h"
#include "base/rng.h"
#include "graph/graph.h"
#include "graph/linear.h"
#include "graph/op.h"

#define CASE_MAX 16 /* inputs, outputs or attributes of a case */
#define DIMS(...) (int64_t[]){__VA_ARGS__}
#define RANK(...) ((int)(sizeof (int64_t[]){__VA_ARGS__} / sizeof(int64_t)))
#define SHAPE(...) RANK(__VA_ARGS__), DIMS(__VA_ARGS__) /* rank and dims, two arguments */
#define VALUES(...) (const double[]){__VA_ARGS__}

struct op_case {
	struct node node;
	Onnx__NodeProto proto;
	Onnx__AttributeProto *attributes[CASE_MAX];
	struct tensor in[CASE_MAX], out[CASE_MAX]; /* data in the arena; type DT_UNDEFINED = absent */
	int n_out;
	struct arena arena;
	struct scratch scratch;
	struct tamis_error err;
	struct rng rng; /* random inputs and gradients; the seed is printed with every failure */
	uint64_t seed;
};

/* `name` is "Add" or "com.microsoft:Gelu"; the row is the one of `rows` that serves opset `opset`. One output
 * is wanted until case_outputs says otherwise. Free with case_free. */
struct op_case *case_new(const struct op *rows, const char *name, int opset);
void case_free(struct op_case *c);

/* Attributes, in any order. Values are copied. */
void case_int(struct op_case *c, const char *name, int64_t value);
void case_float(struct op_case *c, const char *name, double value);
void case_string(struct op_case *c, const char *name, const char *value);
void case_ints(struct op_case *c, const char *name, int n, const int64_t *values);
void case_floats(struct op_case *c, const char *name, int n, const double *values);
void case_tensor(struct op_case *c, const char *name, const struct tensor *value);

/* The next input. Values are row-major doubles, rounded to the type; NULL gives random ones: floats in (-2,
 * 2) that keep 1e-2 away from every multiple of 1/2, so that no kink of a usual function is near, integers in
 * 0..3. Returns the input, whose data may be edited. */
struct tensor *case_in(struct op_case *c, enum dtype type, int rank, const int64_t *dims,
                       const double *values);
struct tensor *case_in_range(struct op_case *c, enum dtype type, int rank, const int64_t *dims, double from,
                             double to);
void case_absent(struct op_case *c);          /* the next input is "" */
void case_outputs(struct op_case *c, int n);  /* outputs wanted */
void case_drop_output(struct op_case *c, int i); /* output i is "" */

/* Parse and shape, expected to succeed; then run. Shape is tried without data first: it must agree with
 * itself. A row with OP_INPLACE is run a second time in place and must give the same bits. */
void case_run(struct op_case *c);

/* For errors: the status of parse, then of shape. When it is not TAMIS_OK a message must have been left. */
enum tamis_status case_status(struct op_case *c);

/* After case_run: output i has this shape and these values within `tolerance` (absolute plus relative; NaN
 * equals NaN). values NULL checks the shape only. */
void case_expect(struct op_case *c, int i, enum dtype type, int rank, const int64_t *dims,
                 const double *values, double tolerance);

/* Runs the case (float inputs must be DOUBLE) and compares reverse with central differences of a random
 * linear functional of the float outputs, for each input whose bit is set in `inputs`: 1e-6 relative to the
 * largest gradient entry, or 1. Checks that reverse adds, that unwanted gin and absent gout are respected,
 * and that the float version agrees to 1e-4. */
void check_reverse(struct op_case *c, unsigned inputs);

/* Runs every single-node model of the ONNX node vectors whose operator is in `rows` and compares the outputs.
 * The folders are those of TAMIS_VECTORS, separated by ':', else where Debian's libonnx-testdata puts them.
 * Folders named in `skip` (NULL-terminated, may be NULL) are left out. Fails when fewer than `least` ran,
 * unless there are no vectors at all. */
void check_vectors(const struct op *rows, int least, const char *const *skip);

/* For vectors and the walker: decodes a TensorProto with inline data; the data live in the arena. */
struct tensor tensor_of_proto(const Onnx__TensorProto *proto, struct arena *arena);

/* Runs the row of c->node on c->in; outputs into c->out. Half types are handled as the executor does. No
 * checks. */
enum tamis_status case_forward(struct op_case *c);

/* The sums of a linear operator against what it gathers at every position, for a case that was run. */
void check_sums(const struct op_case *o, const struct op_call *call, const struct linear_view *v, int64_t items);

#endif
