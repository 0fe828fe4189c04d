/* SPDX-License-Identifier: Apache-2.0 */
#include "nested.h"

#include <criterion/criterion.h>

#include "onnx/edit.h"

static void insert(struct document *d, size_t *n, void *list, void *message)
{
	struct tamis_error err = { 0 };

	cr_assert(message);
	cr_assert_eq(edit_insert(d, n, list, *n, message, &err), TAMIS_OK, "%s", err.message);
}

static Onnx__AttributeProto *add_attribute(struct document *d, Onnx__NodeProto *n, const char *name, int type)
{
	Onnx__AttributeProto *a = edit_new(d, &onnx__attribute_proto__descriptor);

	a->name = doc_strdup(d, name);
	a->has_type = 1;
	a->type = (Onnx__AttributeProto__AttributeType)type;
	insert(d, &n->n_attribute, &n->attribute, a);
	return a;
}

void node_graph(struct document *d, Onnx__NodeProto *n, const char *name, struct document *body)
{
	Onnx__AttributeProto *a = add_attribute(d, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH);

	a->g = edit_copy(d, body->model->graph);
	cr_assert(a->g);
	doc_free(body);
}

static void add_name(struct document *d, size_t *n, char ***list, const char *name)
{
	struct tamis_error err = { 0 };

	cr_assert_eq(edit_string_insert(d, n, list, *n, name, &err), TAMIS_OK, "%s", err.message);
}

Onnx__FunctionProto *model_function(struct document *d, const char *name, struct document *body)
{
	Onnx__FunctionProto *f = edit_new(d, &onnx__function_proto__descriptor);
	Onnx__OperatorSetIdProto *own = edit_new(d, &onnx__operator_set_id_proto__descriptor);
	const Onnx__GraphProto *g = body->model->graph;

	own->has_version = 1;
	own->version = 1;
	own->domain = doc_strdup(d, "test");
	f->name = doc_strdup(d, name);
	f->domain = doc_strdup(d, "test");
	for (size_t i = 0; i < g->n_input; i++)
		add_name(d, &f->n_input, &f->input, g->input[i]->name);
	for (size_t i = 0; i < g->n_output; i++)
		add_name(d, &f->n_output, &f->output, g->output[i]->name);
	for (size_t i = 0; i < g->n_node; i++)
		insert(d, &f->n_node, &f->node, edit_copy(d, g->node[i]));
	insert(d, &f->n_opset_import, &f->opset_import, edit_copy(d, body->model->opset_import[0]));
	insert(d, &f->n_opset_import, &f->opset_import, own);
	insert(d, &d->model->n_functions, &d->model->functions, f);
	doc_free(body);
	return f;
}

Onnx__NodeProto *model_call(struct document *d, const char *name, const char *inputs, const char *outputs)
{
	Onnx__NodeProto *n = model_node(d, name, inputs, outputs);

	n->domain = doc_strdup(d, "test");
	return n;
}

void node_reference(struct document *d, Onnx__NodeProto *n, const char *name, const char *ref, int type)
{
	add_attribute(d, n, name, type)->ref_attr_name = doc_strdup(d, ref);
}

void function_default(struct document *d, Onnx__FunctionProto *f, const char *name, double value)
{
	Onnx__AttributeProto *a = edit_new(d, &onnx__attribute_proto__descriptor);

	a->name = doc_strdup(d, name);
	a->has_type = a->has_f = 1;
	a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
	a->f = (float)value;
	insert(d, &f->n_attribute_proto, &f->attribute_proto, a);
}
