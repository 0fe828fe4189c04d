/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the checker share. Used inside this room only. */
#ifndef ONNX_CHECKER_H
#define ONNX_CHECKER_H

#include "onnx/check.h"
#include "onnx/name_table.h"

/* RULE(name, id, severity, sentence), sorted by id. */
#define CHECK_RULES(RULE) \
	RULE(ATTRIBUTE_DUPLICATE, "attribute-duplicate", ERROR, "a node states each attribute once") \
	RULE(ATTRIBUTE_NAME, "attribute-name-empty", ERROR, "an attribute has a name") \
	RULE(ATTRIBUTE_REF, "attribute-ref", ERROR, \
	     "ref_attr_name stands in function bodies only, without a value") \
	RULE(ATTRIBUTE_TYPE, "attribute-type", ERROR, "an attribute states a known type") \
	RULE(ATTRIBUTE_VALUE, "attribute-value", ERROR, "an attribute holds one value, of the type it states") \
	RULE(DIM_NEGATIVE, "dim-negative", WARNING, "a dimension of a type is not negative") \
	RULE(EXTERNAL_LINKS, "external-hard-link", WARNING, "a file of external data has one name") \
	RULE(FUNCTION_ATTRIBUTE, "function-attribute-duplicate", ERROR, "a function declares each attribute once") \
	RULE(FUNCTION_DUPLICATE, "function-duplicate", ERROR, "domain, name and overload of a function are unique") \
	RULE(FUNCTION_IR, "function-ir", WARNING, "functions need IR 8") \
	RULE(FUNCTION_NAME, "function-name-empty", ERROR, "a function has a name") \
	RULE(FUNCTION_RECURSIVE, "function-recursive", ERROR, \
	     "a function does not call itself, directly or through others") \
	RULE(GRAPH_DEPTH, "graph-depth", ERROR, "graphs are nested at most 32 deep") \
	RULE(GRAPH_MISSING, "graph-missing", ERROR, "a model has a graph") \
	RULE(GRAPH_NAME, "graph-name-empty", ERROR, "a graph has a name") \
	RULE(INITIALIZER_DUPLICATE, "initializer-duplicate", ERROR, "initializers of a graph have different names") \
	RULE(INITIALIZER_NAME, "initializer-name-empty", ERROR, "an initializer has a name") \
	RULE(INITIALIZER_INPUT, "initializer-not-input", ERROR, \
	     "before IR 4 each initializer is also a graph input") \
	RULE(INITIALIZER_TYPE, "initializer-type", WARNING, \
	     "an initializer fits the type of the input it stands for") \
	RULE(INPUT_UNDEFINED, "input-undefined", ERROR, "a node reads values that exist") \
	RULE(IR_MISSING, "ir-version-missing", ERROR, "a model states its IR version") \
	RULE(IR_NEW, "ir-version-new", WARNING, "the IR version is one that tamis knows, at most 13") \
	RULE(IR_OLD, "ir-version-old", ERROR, "the IR version is at least 3") \
	RULE(METADATA_DUPLICATE, "metadata-duplicate", ERROR, "keys of metadata_props are different") \
	RULE(NAME_CHARACTERS, "name-characters", WARNING, "names hold no control bytes") \
	RULE(NODE_NAME, "node-name-duplicate", WARNING, "nodes of a graph have different names") \
	RULE(NODE_NO_OUTPUT, "node-no-output", WARNING, "a node has an output") \
	RULE(NODE_ORDER, "node-order", ERROR, "nodes stand in topological order") \
	RULE(OP_TYPE, "op-type-empty", ERROR, "a node names its operator") \
	RULE(OPSET_DUPLICATE, "opset-duplicate", ERROR, "each operator-set domain is imported once") \
	RULE(OPSET_MISSING, "opset-missing", ERROR, "a model imports an operator set") \
	RULE(OPSET_UNIMPORTED, "opset-unimported", ERROR, \
	     "the domain of each node is imported or has model functions") \
	RULE(OPSET_VERSION, "opset-version", ERROR, "an operator-set version is between 1 and 2147483647") \
	RULE(OUTPUT_DUPLICATE, "output-duplicate", ERROR, "outputs of a graph have different names") \
	RULE(OUTPUT_UNDEFINED, "output-undefined", ERROR, "an output names a value that exists") \
	RULE(SPARSE_IR, "sparse-ir", WARNING, "sparse tensors need IR 6") \
	RULE(SPARSE_TENSOR, "sparse-tensor", ERROR, "a sparse tensor has ascending indices inside its shape") \
	RULE(TENSOR_EXTERNAL, "tensor-external", ERROR, "external data has a safe location and exact numbers") \
	RULE(TENSOR_PAYLOAD, "tensor-payload", ERROR, \
	     "a tensor holds as many elements as its shape says, in one place") \
	RULE(TYPE_ELEMENT, "type-element", ERROR, "a type states a known element type") \
	RULE(TYPE_MISSING, "type-missing", ERROR, "inputs and outputs of the model have types") \
	RULE(TYPE_SHAPE, "type-shape-missing", WARNING, "types of inputs and outputs of the model have shapes") \
	RULE(VALUE_DUPLICATE, "value-duplicate", ERROR, "a value is assigned once") \
	RULE(VALUE_INFO, "value-info-duplicate", WARNING, "value_info describes a value once") \
	RULE(VALUE_NAME, "value-name-empty", ERROR, "inputs and outputs of graphs have names") \
	RULE(VALUE_SHADOWED, "value-shadowed", WARNING, \
	     "a value of a subgraph has another name than those around it")

enum rule {
#define X(name, id, severity, text) RULE_##name,
	CHECK_RULES(X)
#undef X
	RULE_COUNT
};

/* Where the checker is. */
struct checker {
	const struct document *doc;
	struct check_options options;
	struct check_report *report;
	int64_t ir;
	struct name_table imports;       /* domains in force ("" for the default) */
	struct name_table functions;     /* key of a function (function_key) -> its index */
	struct name_table function_domains;
	int64_t function;           /* index of the function being checked; -1 in the main graph */
	struct name_table *calls;        /* keys of functions that it calls; NULL in the main graph */
	const char *graph;          /* label of the graph being checked */
	const char *location;       /* of external data that was last looked at; most models have one */
	bool no_memory;
};

#define CHECK_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Records a finding. node and tensor may be NULL. Out of memory sets c->no_memory. */
void check_found(struct checker *c, enum rule rule, const char *node, const char *tensor, const char *fmt,
                 ...)
	CHECK_PRINTF(5, 6);

/* name_table_add that notes a lack of memory in c; true when the name is new. */
bool check_add(struct checker *c, struct name_table *t, const char *name, int64_t value, int64_t *old);

/* A string of the report's arena; "" and c->no_memory when out of memory. */
const char *check_text(struct checker *c, const char *fmt, ...) CHECK_PRINTF(2, 3);

/* The domain with its two spellings of the default made one. */
const char *check_domain(const char *domain);

/* Text or "" for NULL. */
const char *check_or_empty(const char *s);

/* Each in a file of its own. */
void check_imports(struct checker *c, Onnx__OperatorSetIdProto **imports, size_t n); /* fills c->imports */
void check_metadata(struct checker *c, Onnx__StringStringEntryProto **entries, size_t n);
void check_tensor(struct checker *c, const Onnx__TensorProto *t, const char *node);
void check_sparse(struct checker *c, const Onnx__SparseTensorProto *s, const char *node);
void check_type(struct checker *c, const Onnx__TypeProto *t, const char *name);
void check_attribute(struct checker *c, const Onnx__AttributeProto *a, const char *node);
void check_graph(struct checker *c, Onnx__GraphProto *g);
void check_body(struct checker *c, Onnx__FunctionProto *f);
void check_functions(struct checker *c);
const char *function_key(struct checker *c, const char *domain, const char *name, const char *overload);

#endif
