/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/storage.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "graph/names.h"
#include "onnx/edit.h"
#include "onnx/payload.h"

#define IR_SPARSE 5 /* the first IR version with sparse_initializer */

/* The initializers of the main graph by name, and which of them give way to their other form. */
struct shelf {
	struct document *doc;
	struct name_index dense, sparse, inputs;
	size_t n_dense, n_sparse; /* before anything was added */
	bool *drop_dense, *drop_sparse;
	enum storage_rule rule;
	bool moved;               /* some tensor became sparse */
	uint64_t bytes;
};

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "choosing the storage of tensors");
}

static enum tamis_status open_shelf(struct shelf *s, struct tamis_error *err)
{
	const Onnx__GraphProto *g = s->doc->model->graph;
	bool ok = true;

	s->n_dense = g->n_initializer;
	s->n_sparse = g->n_sparse_initializer;
	s->drop_dense = tm_array(s->n_dense + 1, sizeof *s->drop_dense);
	s->drop_sparse = tm_array(s->n_sparse + 1, sizeof *s->drop_sparse);
	for (size_t i = 0; ok && i < s->n_dense; i++)
		ok = names_put(&s->dense, g->initializer[i]->name, (int)i);
	for (size_t i = 0; ok && i < s->n_sparse; i++)
		ok = names_put(&s->sparse, g->sparse_initializer[i]->values->name, (int)i);
	for (size_t i = 0; ok && i < g->n_input; i++)
		ok = names_put(&s->inputs, g->input[i]->name, (int)i);
	return ok && s->drop_dense && s->drop_sparse ? TAMIS_OK : no_memory(err);
}

static void close_shelf(struct shelf *s)
{
	names_free(&s->dense);
	names_free(&s->sparse);
	names_free(&s->inputs);
	free(s->drop_dense);
	free(s->drop_sparse);
}

/* Whether sparse storage wins; sparse == UINT64_MAX where there is no sparse form. */
static bool goes_sparse(enum storage_rule rule, uint64_t dense, uint64_t sparse)
{
	return sparse != UINT64_MAX && rule != STORAGE_DENSE && (rule == STORAGE_SPARSE || sparse < dense);
}

static enum tamis_status make_sparse(struct shelf *s, int i, const struct tensor *t, struct tamis_error *err)
{
	Onnx__GraphProto *g = s->doc->model->graph;
	Onnx__SparseTensorProto *made = NULL;
	enum tamis_status status = sparse_new(s->doc, g->initializer[i], t, &made, err);

	if (status == TAMIS_OK)
		status = edit_add_sparse_initializer(s->doc, g, made, err);
	if (status != TAMIS_OK) {
		edit_free(s->doc, made);
		return status;
	}
	s->drop_dense[i] = true;
	s->moved = true;
	return TAMIS_OK;
}

static enum tamis_status weigh_dense(struct shelf *s, int i, struct tamis_error *err)
{
	const Onnx__TensorProto *proto = s->doc->model->graph->initializer[i];
	struct tensor t = { .type = DT_UNDEFINED };
	enum payload_place place;
	uint64_t dense, sparse;
	bool movable;
	enum tamis_status status = payload_place(proto, &place, err);

	if (status == TAMIS_OK)
		status = payload_read(s->doc, proto, &t, err);
	if (status != TAMIS_OK)
		return status;
	dense = payload_dense_bytes(proto, &t);
	movable = place != PAYLOAD_EXTERNAL && dtype_is_float((int)t.type) && t.rank > 0 && t.count > 0
		&& names_get(&s->inputs, proto->name) < 0;
	sparse = movable ? payload_sparse_bytes(proto, &t) : UINT64_MAX;
	if (goes_sparse(s->rule, dense, sparse)) {
		status = make_sparse(s, i, &t, err);
		s->bytes += sparse;
	} else {
		s->bytes += dense;
	}
	tensor_free(&t);
	return status;
}

static enum tamis_status make_dense(struct shelf *s, int i, const struct tensor *t, struct tamis_error *err)
{
	Onnx__GraphProto *g = s->doc->model->graph;
	Onnx__TensorProto *made = NULL;
	enum tamis_status status = payload_new(s->doc, g->sparse_initializer[i]->values->name, t, &made, err);

	if (status == TAMIS_OK)
		status = edit_add_initializer(s->doc, g, made, err);
	if (status != TAMIS_OK) {
		edit_free(s->doc, made);
		return status;
	}
	s->drop_sparse[i] = true;
	return TAMIS_OK;
}

static enum tamis_status weigh_sparse(struct shelf *s, int i, struct tamis_error *err)
{
	const Onnx__SparseTensorProto *proto = s->doc->model->graph->sparse_initializer[i];
	struct tensor t = { .type = DT_UNDEFINED };
	uint64_t dense, sparse;
	enum tamis_status status = sparse_read(s->doc, proto, &t, err);

	if (status != TAMIS_OK)
		return status;
	dense = payload_dense_bytes(proto->values, &t);
	sparse = payload_sparse_bytes(proto->values, &t);
	if (goes_sparse(s->rule, dense, sparse)) {
		s->bytes += sparse;
	} else {
		status = make_dense(s, i, &t, err);
		s->bytes += dense;
	}
	tensor_free(&t);
	return status;
}

/* What was added stands behind the old entries, which alone have marks. */
static enum tamis_status drop_moved(struct shelf *s, struct tamis_error *err)
{
	Onnx__GraphProto *g = s->doc->model->graph;
	bool *dense = tm_array(g->n_initializer + 1, sizeof *dense);
	bool *sparse = tm_array(g->n_sparse_initializer + 1, sizeof *sparse);
	bool ok = dense && sparse;

	if (ok) {
		memcpy(dense, s->drop_dense, s->n_dense * sizeof *dense);
		memcpy(sparse, s->drop_sparse, s->n_sparse * sizeof *sparse);
		edit_filter(s->doc, &g->n_initializer, &g->initializer, dense);
		edit_filter(s->doc, &g->n_sparse_initializer, &g->sparse_initializer, sparse);
	}
	free(dense);
	free(sparse);
	return ok ? TAMIS_OK : no_memory(err);
}

enum tamis_status storage_choose(struct document *doc, const char *const *names, size_t n,
                                 enum storage_rule rule,
                                 bool *ir_raised, uint64_t *bytes, struct tamis_error *err)
{
	struct shelf s = { .doc = doc, .rule = rule };
	enum tamis_status status = open_shelf(&s, err);

	for (size_t i = 0; status == TAMIS_OK && i < n; i++) {
		int dense = names_get(&s.dense, names[i]), sparse = names_get(&s.sparse, names[i]);

		if (dense >= 0 && !s.drop_dense[dense])
			status = weigh_dense(&s, dense, err);
		else if (sparse >= 0 && !s.drop_sparse[sparse])
			status = weigh_sparse(&s, sparse, err);
	}
	if (status == TAMIS_OK)
		status = drop_moved(&s, err);
	*ir_raised = status == TAMIS_OK && s.moved && edit_raise_ir(doc, IR_SPARSE);
	if (bytes)
		*bytes = s.bytes;
	close_shelf(&s);
	return status;
}
