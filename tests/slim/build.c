/* SPDX-License-Identifier: Apache-2.0 */
#include "build.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "exec/runner.h"
#include "onnx/check.h"
#include "onnx/edit.h"
#include "onnx/payload.h"
#include "ops/table.h"
#include "slim/channels/dead.h"

static void must(enum tamis_status s, const struct tamis_error *err, const char *what)
{
	cr_assert_eq(s, TAMIS_OK, "%s: %s: %s: %s (%d)", what, err->node, err->tensor, err->message, s);
}

struct document *build_model(int64_t opset)
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
	o.domain = (char *)"";
	m.n_opset_import = 1;
	m.opset_import = opsets;
	cr_assert(onnx__model_proto__get_packed_size(&m) <= sizeof bytes);
	n = onnx__model_proto__pack(&m, bytes);
	must(doc_load_memory(bytes, n, NULL, NULL, &d, &err), &err, "empty model");
	return d;
}

static Onnx__ValueInfoProto *value_info(struct document *d, const char *name, int rank, const int64_t *dims)
{
	Onnx__ValueInfoProto *v = edit_new(d, &onnx__value_info_proto__descriptor);
	Onnx__TensorShapeProto *shape = edit_new(d, &onnx__tensor_shape_proto__descriptor);

	v->name = doc_strdup(d, name);
	v->type = edit_new(d, &onnx__type_proto__descriptor);
	v->type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
	v->type->tensor_type = edit_new(d, &onnx__type_proto__tensor__descriptor);
	v->type->tensor_type->has_elem_type = 1;
	v->type->tensor_type->elem_type = DT_FLOAT;
	v->type->tensor_type->shape = shape;
	for (int i = 0; i < rank; i++) {
		Onnx__TensorShapeProto__Dimension *dim;

		dim = edit_new(d, &onnx__tensor_shape_proto__dimension__descriptor);
		if (dims[i] >= 0) {
			dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
			dim->dim_value = dims[i];
		} else {
			dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
			dim->dim_param = doc_strdup(d, "N");
		}
		cr_assert_eq(edit_insert(d, &shape->n_dim, &shape->dim, shape->n_dim, dim, NULL), TAMIS_OK);
	}
	return v;
}

void build_input(struct document *d, const char *name, int rank, const int64_t *dims)
{
	Onnx__GraphProto *g = d->model->graph;

	cr_assert_eq(edit_insert(d, &g->n_input, &g->input, g->n_input, value_info(d, name, rank, dims), NULL),
	             TAMIS_OK);
}

void build_output(struct document *d, const char *name, int rank, const int64_t *dims)
{
	Onnx__GraphProto *g = d->model->graph;

	cr_assert_eq(edit_insert(d, &g->n_output, &g->output, g->n_output, value_info(d, name, rank, dims), NULL),
	             TAMIS_OK);
}

void build_value_info(struct document *d, const char *name, int rank, const int64_t *dims)
{
	Onnx__GraphProto *g = d->model->graph;

	cr_assert_eq(edit_insert(d, &g->n_value_info, &g->value_info, g->n_value_info, value_info(d, name, rank,
	                                                                                          dims), NULL),
	             TAMIS_OK);
}

static Onnx__TensorProto *add(struct document *d, const char *name, const struct tensor *t)
{
	Onnx__TensorProto *p = NULL;

	cr_assert_eq(payload_new(d, name, t, &p, NULL), TAMIS_OK);
	cr_assert_eq(edit_add_initializer(d, d->model->graph, p, NULL), TAMIS_OK);
	return p;
}

float *build_floats(struct document *d, const char *name, int rank, const int64_t *dims, double scale,
                    struct rng *r)
{
	struct tensor t;
	Onnx__TensorProto *p;

	cr_assert_eq(tensor_shape(&t, DT_FLOAT, rank, dims, NULL), TAMIS_OK);
	cr_assert_eq(tensor_alloc(&t, NULL), TAMIS_OK);
	for (int64_t i = 0; i < t.count; i++)
		((float *)t.data)[i] = (float)(scale * rng_normal(r));
	p = add(d, name, &t);
	tensor_free(&t);
	return (float *)(void *)p->raw_data.data;
}

void build_ints(struct document *d, const char *name, int64_t n, const int64_t *values)
{
	struct tensor t;

	cr_assert_eq(tensor_shape(&t, DT_INT64, 1, &n, NULL), TAMIS_OK);
	t.data = (void *)values;
	add(d, name, &t);
}

static Onnx__TensorProto *find(struct document *d, const char *name)
{
	Onnx__GraphProto *g = d->model->graph;

	for (size_t i = 0; i < g->n_initializer; i++)
		if (!strcmp(g->initializer[i]->name, name))
			return g->initializer[i];
	return NULL;
}

float *build_elements(struct document *d, const char *name)
{
	Onnx__TensorProto *p = find(d, name);

	return p ? (float *)(void *)p->raw_data.data : NULL;
}

int64_t build_extent(struct document *d, const char *name, int axis)
{
	Onnx__TensorProto *p = find(d, name);

	return p && axis < (int)p->n_dims ? p->dims[axis] : -1;
}

static void add_names(struct document *d, size_t *n, char ***list, const char *names)
{
	char *copy = strdup(names), *rest = NULL;

	for (char *s = strtok_r(copy, " ", &rest); s; s = strtok_r(NULL, " ", &rest))
		cr_assert_eq(edit_string_insert(d, n, list, *n, strcmp(s, "-") ? s : "", NULL), TAMIS_OK);
	free(copy);
}

Onnx__NodeProto *build_node(struct document *d, const char *op, const char *inputs, const char *outputs)
{
	Onnx__NodeProto *n = NULL;

	cr_assert_eq(edit_node(d, op, NULL, NULL, &n, NULL), TAMIS_OK);
	add_names(d, &n->n_input, &n->input, inputs);
	add_names(d, &n->n_output, &n->output, outputs);
	cr_assert_eq(edit_add_node(d, d->model->graph, n, NULL), TAMIS_OK);
	return n;
}

void build_attribute(struct document *d, Onnx__NodeProto *n, const char *name, int64_t count,
                     const int64_t *values)
{
	cr_assert_eq(edit_attribute_ints(d, n, name, values, (size_t)count, NULL), TAMIS_OK);
}

void build_number(struct document *d, Onnx__NodeProto *n, const char *name, int64_t value)
{
	cr_assert_eq(edit_attribute_int(d, n, name, value, NULL), TAMIS_OK);
}

void build_text(struct document *d, Onnx__NodeProto *n, const char *name, const char *value)
{
	Onnx__AttributeProto *a = edit_new(d, &onnx__attribute_proto__descriptor);

	a->name = doc_strdup(d, name);
	a->has_type = 1;
	a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING;
	cr_assert_eq(edit_bytes(d, &a->has_s, &a->s, value, strlen(value), NULL), TAMIS_OK);
	cr_assert_eq(edit_insert(d, &n->n_attribute, &n->attribute, n->n_attribute, a, NULL), TAMIS_OK);
}

/* ---- running ------------------------------------------------------------------------------------------- */

/* Inputs for `items` items, the symbol N being their number. */
static struct tensor *make_inputs(const struct graph *g, int64_t items, uint64_t seed)
{
	struct tensor *in = calloc((size_t)g->n_inputs + 1, sizeof *in);

	for (int i = 0; i < g->n_inputs; i++) {
		const struct value_type *t = &g->values[g->inputs[i]].declared;
		struct rng r = rng_make(seed, (uint64_t)i);
		int64_t dims[TENSOR_MAX_RANK];

		for (int k = 0; k < t->rank; k++)
			dims[k] = t->dims[k] < 0 ? items : t->dims[k];
		cr_assert_eq(tensor_shape(&in[i], DT_FLOAT, t->rank, dims, NULL), TAMIS_OK);
		cr_assert_eq(tensor_alloc(&in[i], NULL), TAMIS_OK);
		for (int64_t k = 0; k < in[i].count; k++)
			((float *)in[i].data)[k] = (float)rng_normal(&r);
	}
	return in;
}

static void free_inputs(const struct graph *g, struct tensor *in)
{
	for (int i = 0; i < g->n_inputs; i++)
		tensor_free(&in[i]);
	free(in);
}

float *build_run(struct document *d, int64_t items, uint64_t seed, int64_t *count)
{
	const struct program_options options = { .merge_norms = false };
	struct tamis_error err = { 0 };
	struct graph *g = NULL;
	struct program *p = NULL;
	struct runner *r = NULL;
	struct tensor *in;
	const struct tensor *out;
	float *copy;

	must(graph_build(d, &op_table, &g, &err), &err, "graph");
	must(program_create(g, &options, &p, &err), &err, "program");
	must(runner_create(p, &r, &err), &err, "runner");
	in = make_inputs(g, items, seed);
	must(runner_run(r, in, NULL, &err), &err, "run");
	out = runner_output(r, 0);
	cr_assert_eq(out->type, DT_FLOAT);
	*count = out->count;
	copy = malloc(tensor_bytes(out) + 1);
	memcpy(copy, out->data, tensor_bytes(out));
	free_inputs(g, in);
	runner_free(r);
	program_free(p);
	graph_free(g);
	return copy;
}

static int64_t remove_once(struct document *d)
{
	const struct program_options options = { .merge_norms = false };
	const struct layer_filter filter = { .only = NULL };
	struct tamis_error err = { 0 };
	struct graph *g = NULL;
	struct program *p = NULL;
	struct plan *plan = NULL;
	struct layers l;
	struct tensor *in;
	int64_t removed = -1;

	must(graph_build(d, &op_table, &g, &err), &err, "graph");
	must(program_create(g, &options, &p, &err), &err, "program");
	in = make_inputs(g, 1, 1);
	must(plan_create(p, in, &plan, &err), &err, "plan");
	must(layers_find(g, plan, &filter, &l, &err), &err, "layers");
	must(channels_remove(d, g, plan, &l, &removed, &err), &err, "channels");
	free_inputs(g, in);
	layers_free(&l);
	plan_free(plan);
	program_free(p);
	graph_free(g);
	must(check_or_fail(d, &err), &err, "check");
	return removed;
}

int64_t build_remove(struct document *d)
{
	int64_t all = 0, n;

	do {
		n = remove_once(d);
		all += n;
	} while (n);
	return all;
}

int64_t build_remove_and_compare(struct document *d, double tolerance)
{
	int64_t n, m, removed;
	float *before = build_run(d, 3, 7, &n), *after, largest = 1;

	removed = build_remove(d);
	after = build_run(d, 3, 7, &m);
	cr_assert_eq(n, m, "the output had %lld elements, now %lld", (long long)n, (long long)m);
	for (int64_t i = 0; i < n; i++)
		largest = fmaxf(largest, fabsf(before[i]));
	for (int64_t i = 0; i < n; i++)
		cr_assert(fabsf(before[i] - after[i]) <= (float)tolerance * largest, "element %lld was %g, now %g",
		          (long long)i, before[i], after[i]);
	free(before);
	free(after);
	return removed;
}
