/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "onnx/edit.h"
#include "onnx/payload.h"
#include "ops/table.h"

static void must(enum tamis_status s, const struct tamis_error *err, const char *what)
{
	cr_assert_eq(s, TAMIS_OK, "%s: %s: %s: %s (%d)", what, err->node, err->tensor, err->message, s);
}

static void insert(struct document *d, size_t *n, void *list, void *message)
{
	struct tamis_error err = { 0 };

	must(edit_insert(d, n, list, *n, message, &err), &err, "insert");
}

struct document *model_new(int64_t opset)
{
	Onnx__ModelProto m = ONNX__MODEL_PROTO__INIT;
	Onnx__GraphProto g = ONNX__GRAPH_PROTO__INIT;
	Onnx__OperatorSetIdProto o = ONNX__OPERATOR_SET_ID_PROTO__INIT, *opsets[] = { &o };
	struct tamis_error err = { 0 };
	struct document *d = NULL;
	uint8_t bytes[256];
	size_t n;

	m.has_ir_version = 1;
	m.ir_version = 8;
	m.graph = &g;
	g.name = (char *)"test";
	o.has_version = 1;
	o.version = opset;
	m.n_opset_import = 1;
	m.opset_import = opsets;
	n = onnx__model_proto__pack(&m, bytes);
	must(doc_load_memory(bytes, n, NULL, NULL, &d, &err), &err, "empty model");
	return d;
}

static void add_dim(struct document *d, Onnx__TensorShapeProto *shape, int64_t extent)
{
	Onnx__TensorShapeProto__Dimension *dim = edit_new(d, &onnx__tensor_shape_proto__dimension__descriptor);

	if (extent >= 0) {
		dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
		dim->dim_value = extent;
	} else {
		dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
		dim->dim_param = doc_strdup(d, "N");
	}
	insert(d, &shape->n_dim, &shape->dim, dim);
}

void model_input(struct document *d, const char *name, enum dtype type, int rank, const int64_t *dims)
{
	Onnx__GraphProto *g = d->model->graph;
	Onnx__ValueInfoProto *v = edit_new(d, &onnx__value_info_proto__descriptor);

	v->name = doc_strdup(d, name);
	v->type = edit_new(d, &onnx__type_proto__descriptor);
	v->type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
	v->type->tensor_type = edit_new(d, &onnx__type_proto__tensor__descriptor);
	v->type->tensor_type->has_elem_type = 1;
	v->type->tensor_type->elem_type = (int)type;
	v->type->tensor_type->shape = edit_new(d, &onnx__tensor_shape_proto__descriptor);
	for (int i = 0; i < rank; i++)
		add_dim(d, v->type->tensor_type->shape, dims[i]);
	insert(d, &g->n_input, &g->input, v);
}

void model_output(struct document *d, const char *name)
{
	Onnx__GraphProto *g = d->model->graph;
	Onnx__ValueInfoProto *v = edit_new(d, &onnx__value_info_proto__descriptor);

	v->name = doc_strdup(d, name);
	insert(d, &g->n_output, &g->output, v);
}

void model_constant(struct document *d, const char *name, enum dtype type, int rank, const int64_t *dims,
                    const double *values, struct rng *r)
{
	struct tensor t = tensor_make(type, rank, dims, values, r);
	struct tamis_error err = { 0 };
	Onnx__TensorProto *p = NULL;

	must(payload_new(d, name, &t, &p, &err), &err, name);
	must(edit_add_initializer(d, d->model->graph, p, &err), &err, name);
	tensor_free(&t);
}

void model_ints(struct document *d, const char *name, int n, const int64_t *values)
{
	double copy[16];

	for (int i = 0; i < n; i++)
		copy[i] = (double)values[i];
	model_constant(d, name, DT_INT64, 1, &(int64_t){ n }, copy, NULL);
}

static void add_names(struct document *d, size_t *n, char ***list, const char *names)
{
	char *copy = strdup(names), *rest = NULL;
	struct tamis_error err = { 0 };

	for (char *s = strtok_r(copy, " ", &rest); s; s = strtok_r(NULL, " ", &rest))
		must(edit_string_insert(d, n, list, *n, strcmp(s, "-") ? s : "", &err), &err, names);
	free(copy);
}

Onnx__NodeProto *model_node(struct document *d, const char *op, const char *inputs, const char *outputs)
{
	struct tamis_error err = { 0 };
	Onnx__NodeProto *n = NULL;

	must(edit_node(d, op, NULL, NULL, &n, &err), &err, op);
	add_names(d, &n->n_input, &n->input, inputs);
	add_names(d, &n->n_output, &n->output, outputs);
	must(edit_add_node(d, d->model->graph, n, &err), &err, op);
	return n;
}

void node_int(struct document *d, Onnx__NodeProto *n, const char *name, int64_t value)
{
	struct tamis_error err = { 0 };

	must(edit_attribute_int(d, n, name, value, &err), &err, name);
}

void node_ints(struct document *d, Onnx__NodeProto *n, const char *name, int count, const int64_t *values)
{
	struct tamis_error err = { 0 };

	must(edit_attribute_ints(d, n, name, values, (size_t)count, &err), &err, name);
}

void node_float(struct document *d, Onnx__NodeProto *n, const char *name, double value)
{
	Onnx__AttributeProto *a = edit_new(d, &onnx__attribute_proto__descriptor);

	a->name = doc_strdup(d, name);
	a->has_type = a->has_f = 1;
	a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
	a->f = (float)value;
	insert(d, &n->n_attribute, &n->attribute, a);
}

struct graph *model_graph(struct document *d)
{
	struct tamis_error err = { 0 };
	struct graph *g = NULL;

	must(graph_build(d, &op_table, &g, &err), &err, "graph_build");
	must(graph_verify(g, &err), &err, "graph_verify");
	return g;
}

struct tensor tensor_make(enum dtype type, int rank, const int64_t *dims, const double *values, struct rng *r)
{
	struct tamis_error err = { 0 };
	struct tensor t = { .type = DT_UNDEFINED };
	double scale;

	must(tensor_shape(&t, type, rank, dims, &err), &err, "shape");
	must(tensor_alloc(&t, &err), &err, "memory");
	scale = rank && dims[0] ? 1 / sqrt((double)t.count / (double)dims[0] + 1) : 1;
	for (int64_t i = 0; i < t.count; i++)
		tensor_set(&t, i, values ? values[i] : dtype_is_float((int)type) ? scale * rng_normal(r) : (double)rng_below(r, 4));
	return t;
}

bool tensor_equal(const struct tensor *a, const struct tensor *b)
{
	return a->type == b->type && tensor_same_shape(a, b)
		&& (!a->count || !memcmp(a->data, b->data, tensor_bytes(a)));
}
