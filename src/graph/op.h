/* SPDX-License-Identifier: Apache-2.0 */
/* What an operator is: one row of a sorted table, a few functions. The rows live in src/ops; the graph and the
 * executor see only this interface. Four steps that never mix: parse -> shape -> run -> reverse. */
#ifndef GRAPH_OP_H
#define GRAPH_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/tensor.h"

struct document;
struct node;
struct linear_op;
struct channel_call;

/* Scratch memory of one worker: bump allocation, uninitialised, 64-byte aligned, valid until the node has run. */
struct scratch {
	struct scratch_block *blocks;
	size_t used;
	uint64_t limit; /* bytes it may hold; 0 = no limit */
};
void *scratch_alloc(struct scratch *s, size_t n, size_t size); /* NULL when out of memory, over the limit, or n * size
                                                                * overflows */
void scratch_reset(struct scratch *s);                         /* everything free again, memory kept for reuse */
void scratch_free(struct scratch *s);
size_t scratch_bytes(const struct scratch *s);                 /* held, in use or not */

/* One execution of one node. Optional inputs that are absent are NULL, as are outputs nobody wants. */
struct op_call {
	const struct node *node; /* node->attr is what parse made */
	int n_in, n_out;         /* as written in the node, absent ones included */
	const struct tensor *const *in;
	struct tensor *const *out;
	struct scratch *scratch; /* run and reverse only */
	void **state;            /* run and reverse: a slot of this node and worker, NULL at first, for what the row's run
	                          * and reverse keep between runs (compiled kernels, never data); NULL: nothing can be kept */
	bool unknown;            /* set by op_needs when a shape depends on data that is not there yet */
	struct tamis_error *err;
};

/* For shape functions of data-dependent operators: true when input i has its data. Otherwise marks the call as
 * unknown and returns false; the function then returns TAMIS_OK at once and is called again when data exist.
 * Constants, and values computed from constants and shapes alone, have data at planning time. */
bool op_needs(struct op_call *c, int i);

/* Input i, or NULL when it is absent or beyond the node's inputs. */
const struct tensor *op_in(const struct op_call *c, int i);

/* tensor_shape on output i; fine when the output is not wanted. */
enum tamis_status op_set_out(struct op_call *c, int i, enum dtype type, int rank, const int64_t *dims);
enum tamis_status op_set_like(struct op_call *c, int i, enum dtype type, const struct tensor *shape_of);

/* Gradients of one node. in/out of `call` hold the forward data. gout[i] NULL = zero gradient. gin[i] NULL = not
 * wanted; otherwise the function ADDS into it. Gradients are FLOAT or DOUBLE, as the values they belong to. */
struct op_grad {
	struct op_call *call;
	const struct tensor *const *gout;
	struct tensor *const *gin;
};

enum op_flag {
	OP_VIEW = 1,         /* output 0 is input 0's bytes under another shape: no run, no reverse */
	OP_ANY_BITS = 2,     /* moves elements without looking at them: every type, half types included, as they are */
	OP_INPLACE = 4,      /* run works when out[0]->data == in[0]->data (same type and count) */
	OP_RANDOM = 8,       /* not a function of its inputs: never folded */
	OP_SHAPE_ONLY = 16,  /* run and shape never read the data of input 0, only its shape (Shape, Size) */
	OP_CONTROL = 32,     /* runs graphs that are its attributes: the executor does, there is no run */
	OP_CONTROL_REVERSE = 64, /* beside OP_CONTROL: the executor passes gradients as well */
	OP_BLIND_OUTPUT = 128,   /* reverse never reads the data of outputs, only their shapes */
	OP_BLIND_REVERSE = OP_BLIND_OUTPUT | 256 /* nor those of inputs */
};
/* Without OP_ANY_BITS, float16 and bfloat16 inputs reach run and reverse as FLOAT and results are rounded back by
 * the executor: no operator handles half types itself. */

struct op_parse {
	const struct node *node; /* proto, opset version; attributes are read with the helpers of graph/attr.h */
	const struct document *doc; /* for external tensors */
	struct arena *arena;     /* owns what parse makes; lives as long as the graph */
	struct tamis_error *err;
};

struct op {
	const char *domain, *name;              /* "" is the default domain */
	int16_t since, until;                   /* opset versions of the domain, inclusive; until OP_LATEST = open end */
	int16_t min_in, max_in, min_out, max_out; /* max -1 = variadic */
	uint16_t flags;                         /* enum op_flag */
	void (*channels)(struct channel_call *c);                    /* how channels pass (coupling.h); NULL: barrier */
	enum tamis_status (*parse)(struct op_parse *p, void **attr); /* NULL: no attributes */
	enum tamis_status (*shape)(struct op_call *c);               /* sets type and dims of every wanted output */
	enum tamis_status (*run)(struct op_call *c);                 /* fills every wanted output */
	enum tamis_status (*reverse)(struct op_grad *g);             /* NULL: no gradient passes */
	const struct linear_op *linear;         /* weights that make connections; NULL for all others */
	void (*free_state)(void *state);        /* frees what run left in its slot; NULL where it leaves nothing */
};
#define OP_LATEST INT16_MAX

/* The table: one list of rows a family, each sorted by name and since and ended by a row whose name is NULL. The
 * ranges of one operator do not overlap, and one operator stays in one family. */
struct op_table {
	const struct op *const *families;
	int count;
};

/* The row that serves `name` of `domain` ("" and "ai.onnx" are the same) at opset `version`; NULL if none. O(rows). */
const struct op *op_find(const struct op_table *t, const char *domain, const char *name, int64_t version);
/* Whether any version of the operator is in the table (for messages). */
bool op_known(const struct op_table *t, const char *domain, const char *name);

#endif
