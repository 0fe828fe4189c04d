/* SPDX-License-Identifier: Apache-2.0 */
/* The model as a graph: an index over the document's message tree. The document stays the truth; the graph adds ids,
 * producers, consumers, an order, resolved operators with parsed attributes, and decoded constants. */
#ifndef GRAPH_GRAPH_H
#define GRAPH_GRAPH_H

#include <onnx.pb-c.h>

#include "graph/op.h"

struct document;
struct opsets;

#define GRAPH_NONE (-1)

enum value_kind { VALUE_INPUT, VALUE_CONSTANT, VALUE_NODE };

struct use { int node, input; };

/* Declared type of a value: what the file says, before anything is inferred. */
struct value_type {
	enum dtype type;                 /* DT_UNDEFINED: not declared */
	int rank;                        /* -1: not declared */
	int64_t dims[TENSOR_MAX_RANK];   /* -1: symbolic or unknown */
	const char *symbol[TENSOR_MAX_RANK]; /* dim_param, NULL where none */
};

struct value {
	const char *name;        /* owned by the document */
	enum value_kind kind;    /* CONSTANT: initializer (dense or sparse) or the output of a Constant node */
	struct value_type declared;
	int producer, output;    /* node and its output position; GRAPH_NONE for inputs and initializers */
	struct use *uses;        /* every consumer in this graph, ordered by node */
	int n_uses;
	bool is_output;          /* named in graph.output */
	bool overridable;        /* an initializer that is also a graph input: a caller may replace it */
	struct tensor constant;  /* VALUE_CONSTANT: the decoded payload; passes may edit it unless the graph is a view */
	bool borrowed;           /* of constant: its elements belong to the document */
	Onnx__TensorProto *tensor_proto;       /* where the payload lives in the document; NULL for sparse */
	Onnx__SparseTensorProto *sparse_proto; /* the same for sparse initializers */
};

/* A graph inside a control-flow node. Its inputs are its own, then what it captures from around it. */
struct body {
	const char *attribute; /* "then_branch", "body" */
	struct graph *graph;
	int first;             /* captured input i is the node's input first + i */
};

struct node {
	Onnx__NodeProto *proto; /* in the document; where `inlined`, a copy in the graph's arena */
	const struct op *op;
	void *attr;          /* made by op->parse, in the graph's arena */
	const char *name;    /* the node's name, or "#12 (Conv)": for messages and reports */
	int64_t opset;       /* version of its domain that the model imports */
	const struct opsets *opsets; /* what domains mean here */
	int *in, *out;       /* value ids; GRAPH_NONE where absent */
	int n_in, n_out;
	int n_captured;      /* of the inputs, the last so many: what the bodies read by name, not in proto->input */
	struct body *bodies;
	int n_bodies;
	bool constant;       /* a Constant node: its output is VALUE_CONSTANT and it never runs */
	bool inlined;        /* from a function's body: the document has only the call, so nothing of it can be edited */
};

/* A value of a body that stands for one of the graph around it. */
struct captured { int id, outer; };

struct graph {
	struct document *doc;      /* not owned */
	bool view;                 /* made by graph_view */
	Onnx__GraphProto *proto;
	struct graph *outer;       /* the graph around this body; NULL for the model's own */
	int depth;                 /* graphs around this one */
	struct captured *captured; /* in the order of the inputs that stand for them */
	int n_captured;
	size_t cap_captured, cap_values;
	int64_t expanded;          /* nodes and values that functions came to so far; in the outermost graph */
	struct value *values;
	int n_values;
	struct node *nodes;        /* in the file's own order, which the format wants to be topological; functions of
	                              the model stand in place of their calls */
	int n_nodes;
	int *inputs, n_inputs;     /* value ids of graph.input without initializers, in file order, then the captured */
	int *outputs, n_outputs;   /* value ids of graph.output, in file order */
	struct arena arena;
	struct name_index *names;  /* value id by name */
};

/* Builds the graph of a checked document. Resolves every operator first: all unsupported operators, types and opsets
 * are listed in one TAMIS_E_UNSUPPORTED. A cycle, a dangling name or a duplicate output is TAMIS_E_INVALID. Constants
 * are decoded (external data are read here). The document must outlive the graph. O(nodes + edges + payload bytes),
 * no recursion on depth. */
enum tamis_status graph_build(struct document *doc, const struct op_table *ops, struct graph **out,
                              struct tamis_error *err);
/* The same for reading alone: weights that the document holds as they are used stay there, so a model is in memory once.
 * Neither its constants nor the document may be edited while the graph is used. */
enum tamis_status graph_view(struct document *doc, const struct op_table *ops, struct graph **out,
                             struct tamis_error *err);
void graph_free(struct graph *g); /* NULL is fine */

/* Value id by name; GRAPH_NONE when there is none. O(1). */
int graph_find(const struct graph *g, const char *name);

/* The body of that attribute; NULL when there is none. */
const struct body *node_body(const struct node *n, const char *attribute);

/* The structure's promises (ids in range, uses match inputs, order topological, names unique). TAMIS_E_INTERNAL names
 * the first that is broken. Run between passes in debug builds. O(nodes + edges). */
enum tamis_status graph_verify(const struct graph *g, struct tamis_error *err);

/* Types and shapes of a node's outputs from its inputs. Data may be NULL; when the shape depends on data that is not
 * there, *unknown is set and outputs are left alone. Half types are mapped as op.h says. out[i] NULL = not wanted. */
enum tamis_status node_shape(const struct node *n, const struct tensor *const *in, struct tensor *const *out,
                             struct scratch *scratch, bool *unknown, struct tamis_error *err);

/* Runs a node whose outputs have their shapes and memory. Views are copied when the memory differs. state: the slot of
 * struct op_call, NULL when nothing may be kept; node_free_state releases what it holds. */
enum tamis_status node_run(const struct node *n, const struct tensor *const *in, struct tensor *const *out,
                           struct scratch *scratch, void **state, struct tamis_error *err);
void node_free_state(const struct node *n, void *state); /* NULL state is fine */

/* Adds gradients: gout[i] NULL = zero, gin[i] NULL = not wanted; state as in node_run. For half values, in/out/gradients are FLOAT copies
 * made by the caller. TAMIS_E_UNSUPPORTED when the operator has no reverse. */
enum tamis_status node_reverse(const struct node *n, const struct tensor *const *in, struct tensor *const *out,
                               const struct tensor *const *gout, struct tensor *const *gin, struct scratch *scratch,
                               void **state, struct tamis_error *err);

/* node_shape and node_run on inputs that all have data, allocating the outputs' data (tensor_free each; out holds
 * n->n_out structs; absent outputs get no data). For constant folding and tests. */
enum tamis_status node_eval(const struct node *n, const struct tensor *const *in, struct tensor *out,
                            struct tamis_error *err);
/* The same, where outputs of more than max_bytes together are TAMIS_E_MEMORY, found before they are allocated. */
enum tamis_status node_eval_within(const struct node *n, const struct tensor *const *in, struct tensor *out,
                                   uint64_t max_bytes, struct tamis_error *err);

#endif
