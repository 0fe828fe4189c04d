/* SPDX-License-Identifier: Apache-2.0 */
/* Functions and graphs inside nodes, made of models that model.h builds. Everything fails through criterion. */
#ifndef TESTS_GRAPH_NESTED_H
#define TESTS_GRAPH_NESTED_H

#include "model.h"

/* The graph of `body` as an attribute of n. Takes the body. */
void node_graph(struct document *d, Onnx__NodeProto *n, const char *name, struct document *body);

/* A function of the domain "test" whose nodes are those of `body`, with the body's inputs and outputs. Takes the body. */
Onnx__FunctionProto *model_function(struct document *d, const char *name, struct document *body);

/* A node that calls it. */
Onnx__NodeProto *model_call(struct document *d, const char *name, const char *inputs, const char *outputs);

/* An attribute of a body's node that the call states under the name `ref`. type: of AttributeProto. */
void node_reference(struct document *d, Onnx__NodeProto *n, const char *name, const char *ref, int type);

/* A default of a function's attribute. */
void function_default(struct document *d, Onnx__FunctionProto *f, const char *name, double value);

#endif
