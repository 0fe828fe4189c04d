/* SPDX-License-Identifier: Apache-2.0 */
/* Graph inputs as the items must serve them, and readers in front of readers. */
#include <string.h>

#include "api/api.h"
#include "graph/names.h"
#include "ops/table.h"

struct tamis_error *api_error(struct tamis_error *err, struct tamis_error *unheard)
{
	if (err)
		return err;
	tamis_error_clear(unheard);
	return unheard;
}

/* ---- graph inputs -------------------------------------------------------------------------------------- */

static enum tamis_status read_input(const Onnx__ValueInfoProto *info, int position, struct arena *a,
                                    struct data_input *out, struct tamis_error *err)
{
	const Onnx__TypeProto *t = info->type;
	const Onnx__TensorShapeProto *shape;

	if (!t || t->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || !t->tensor_type
	    || !dtype_known(t->tensor_type->elem_type)) {
		tm_fail(err, TAMIS_E_UNSUPPORTED, "the graph input is not a tensor of a known type");
		return tm_in_tensor(err, info->name);
	}
	shape = t->tensor_type->shape;
	*out = (struct data_input){ .name = arena_strdup(a, info->name),
		.type = (enum dtype)t->tensor_type->elem_type,
		.rank = shape ? (int)shape->n_dim : -1, .position = position };
	if (!out->name)
		return tm_no_memory(err, "reading the graph inputs");
	if (shape && shape->n_dim > TENSOR_MAX_RANK) {
		tm_fail(err, TAMIS_E_UNSUPPORTED, "the graph input has rank %zu; at most %d is supported",
		        shape->n_dim, TENSOR_MAX_RANK);
		return tm_in_tensor(err, info->name);
	}
	for (int i = 0; i < out->rank; i++) {
		const Onnx__TensorShapeProto__Dimension *d = shape->dim[i];
		bool fixed = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE
			&& d->dim_value >= 0;

		out->dims[i] = fixed ? d->dim_value : -1;
	}
	return TAMIS_OK;
}

static bool index_initializers(const Onnx__GraphProto *g, struct name_index *names)
{
	bool ok = true;

	for (size_t i = 0; ok && i < g->n_initializer; i++)
		ok = names_put(names, g->initializer[i]->name, 0);
	for (size_t i = 0; ok && i < g->n_sparse_initializer; i++)
		ok = names_put(names, g->sparse_initializer[i]->values->name, 0);
	return ok;
}

enum tamis_status api_inputs(const struct document *doc, struct arena *arena, struct data_input **out, int *n,
                             struct tamis_error *err)
{
	const Onnx__GraphProto *g = doc->model->graph;
	struct name_index names = { 0 };
	enum tamis_status s = TAMIS_OK;

	*n = 0;
	*out = arena_array(arena, g->n_input + 1, sizeof **out);
	if (!*out || !index_initializers(g, &names))
		s = tm_no_memory(err, "reading the graph inputs");
	for (size_t i = 0; s == TAMIS_OK && i < g->n_input; i++)
		if (names_get(&names, g->input[i]->name) < 0)
			s = read_input(g->input[i], (int)i, arena, &(*out)[(*n)++], err);
	names_free(&names);
	return s;
}

static enum tamis_status differ(const struct data_input *a, const struct data_input *b, int i,
                                struct tamis_error *err)
{
	return tm_fail(err, TAMIS_E_INVALID,
	               "graph input %d should be '%.200s' of %s, as in the model that the items were "
	               "opened for, and is '%.200s' of %s", i, a->name, dtype_name((int)a->type), b->name,
	               dtype_name((int)b->type));
}

enum tamis_status api_same_inputs(const struct tamis_calibration *c, const struct tamis_model *m,
                                  struct tamis_error *err)
{
	struct arena arena = { 0 };
	struct data_input *in;
	int n;
	enum tamis_status s = api_inputs(m->doc, &arena, &in, &n, err);

	if (s == TAMIS_OK && n != c->n_inputs)
		s = tm_fail(err, TAMIS_E_INVALID,
		            "the items were opened for a model with %d inputs, and this one has %d", c->n_inputs, n);
	for (int i = 0; s == TAMIS_OK && i < n; i++)
		if (strcmp(in[i].name, c->inputs[i].name) || in[i].type != c->inputs[i].type)
			s = differ(&c->inputs[i], &in[i], i, err);
	if (s != TAMIS_OK)
		tm_in_file(err, m->doc->path);
	arena_free(&arena);
	return s;
}

enum tamis_status api_program(const struct tamis_model *m, struct graph **g, struct program **p,
                              struct tamis_error *err)
{
	const struct program_options forward = { .merge_norms = true };
	enum tamis_status s = graph_view(m->doc, &op_table, g, err);

	*p = NULL;
	return s == TAMIS_OK ? program_create(*g, &forward, p, err) : s;
}

/* ---- the first items only ------------------------------------------------------------------------------ */

static enum tamis_status limited_next(void *self, int64_t max_items, struct batch *b, struct tamis_error *err)
{
	struct api_limited *l = self;
	int64_t left = l->limit - l->given;
	enum tamis_status s;

	if (left <= 0) {
		*b = (struct batch){ .first = l->given };
		return TAMIS_OK;
	}
	s = l->inner->next(l->inner->self, left < max_items ? left : max_items, b, err);
	if (s == TAMIS_OK)
		l->given += b->items;
	return s;
}

static enum tamis_status limited_rewind(void *self, struct tamis_error *err)
{
	struct api_limited *l = self;

	l->given = 0;
	return l->inner->rewind(l->inner->self, err);
}

static int64_t limited_count(void *self)
{
	struct api_limited *l = self;
	int64_t n = l->inner->count(l->inner->self);

	return n >= 0 && n < l->limit ? n : n < 0 ? -1 : l->limit;
}

struct feed_reader api_limit(struct api_limited *state, struct feed_reader *inner, int64_t limit)
{
	*state = (struct api_limited){ .inner = inner, .limit = limit > 0 ? limit : INT64_MAX };
	return (struct feed_reader){ .self = state, .next = limited_next, .rewind = limited_rewind,
		.count = limited_count };
}

/* ---- chunks -------------------------------------------------------------------------------------------- */

enum tamis_status api_chunk(const struct program *p, struct feed_reader *reader, int64_t *chunk, bool *whole,
                            struct tamis_error *err)
{
	struct batch b = { 0 };
	struct plan *plan = NULL;
	enum tamis_status s = reader->rewind(reader->self, err);

	if (s == TAMIS_OK)
		s = reader->next(reader->self, 1, &b, err);
	if (s == TAMIS_OK && b.items == 0)
		s = tm_fail(err, TAMIS_E_INVALID, "the data hold no item");
	if (s == TAMIS_OK)
		s = plan_create(p, b.in, &plan, err);
	if (s == TAMIS_OK) {
		*chunk = items_chunk(plan, 0);
		*whole = b.whole;
		s = reader->rewind(reader->self, err);
	}
	plan_free(plan);
	return s;
}
