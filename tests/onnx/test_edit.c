/* SPDX-License-Identifier: Apache-2.0 */
/* Edits: what they make packs and loads again; each allocation failing in turn leaves the tree as it was. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "onnx/check.h"
#include "onnx/edit.h"
#include "onnx/payload.h"
#include "onnx/walk.h"
#include "util.h"

static void same_bytes(const struct document *a, const uint8_t *data, size_t size)
{
	uint8_t *now;
	size_t n;
	cr_assert_eq(doc_pack(a, &now, &n, NULL), TAMIS_OK);
	cr_assert_eq(n, size);
	cr_assert_arr_eq(now, data, size);
	free(now);
}

/* A sequence that uses every edit once. */
static enum tamis_status every_edit(struct document *doc, struct tamis_error *err)
{
	Onnx__GraphProto *g = doc->model->graph;
	Onnx__NodeProto *n;
	enum tamis_status st = edit_node(doc, "Transpose", NULL, "turn", &n, err);
	if (st != TAMIS_OK)
		return st;
	st = edit_string_insert(doc, &n->n_input, &n->input, 0, "y", err);
	if (st == TAMIS_OK)
		st = edit_string_insert(doc, &n->n_output, &n->output, 0, "z", err);
	if (st == TAMIS_OK)
		st = edit_attribute_ints(doc, n, "perm", (int64_t[]){ 0, 1 }, 2, err);
	if (st == TAMIS_OK)
		st = edit_attribute_ints(doc, n, "perm", (int64_t[]){ 1, 0 }, 2, err);
	if (st == TAMIS_OK)
		st = edit_attribute_int(doc, n, "extra", 3, err);
	if (st == TAMIS_OK)
		st = edit_attribute_float(doc, n, "slope", 0.5f, err);
	if (st == TAMIS_OK)
		st = edit_add_node(doc, g, n, err);
	if (st != TAMIS_OK) {
		edit_free(doc, n);
		return st;
	}
	st = edit_set_metadata(doc, "tamis.version", "1", err);
	return st == TAMIS_OK ? edit_set_metadata(doc, "tamis.version", "0.1.0", err) : st;
}

Test(edit, every_edit_survives_the_file)
{
	struct document *doc = small_document(), *again;
	uint8_t *data;
	size_t size;
	struct tamis_error err = { 0 };
	cr_assert_eq(every_edit(doc, &err), TAMIS_OK, "%s", err.message);
	cr_assert_eq(doc_pack(doc, &data, &size, NULL), TAMIS_OK);
	cr_assert_eq(doc_load_memory(data, size, NULL, NULL, &again, &err), TAMIS_OK, "%s", err.message);
	cr_assert_eq(check_or_fail(again, &err), TAMIS_OK, "%s", err.message);
	const Onnx__NodeProto *n = again->model->graph->node[1];
	cr_assert_str_eq(n->op_type, "Transpose");
	cr_assert_str_eq(n->name, "turn");
	cr_assert_null(n->domain);
	cr_assert_eq(n->n_attribute, 3u);
	cr_assert_eq(n->attribute[0]->n_ints, 2u);
	cr_assert_eq(n->attribute[0]->ints[0], 1);
	cr_assert_eq(n->attribute[1]->i, 3);
	cr_assert_str_eq(edit_get_metadata(again, "tamis.version"), "0.1.0");
	cr_assert_null(edit_get_metadata(again, "tamis"));
	doc_free(again);
	doc_free(doc);
	free(data);
}

Test(edit, undoing_gives_the_bytes_back)
{
	struct bytes m = small_model();
	struct document *doc = small_document();
	Onnx__GraphProto *g = doc->model->graph;
	cr_assert_eq(every_edit(doc, NULL), TAMIS_OK);
	edit_remove_metadata(doc, "tamis.version");
	edit_remove_node(doc, g, 1);
	edit_remove_node(doc, g, 7);
	edit_remove_initializer(doc, g, 1);
	edit_remove_sparse_initializer(doc, g, 0);
	edit_remove_value_info(doc, g, 0);
	same_bytes(doc, m.data, m.size);
	doc_free(doc);
	bytes_free(&m);
}

Test(edit, memory_is_counted_back_to_where_it_was)
{
	struct document *doc = small_document();
	uint64_t before = doc->memory.used;
	void *copy = edit_copy(doc, doc->model);
	cr_assert_not_null(copy);
	edit_free(doc, copy);
	cr_assert_eq(doc->memory.used, before);
	doc->memory.cap = doc->memory.used + 10;
	cr_assert_null(edit_copy(doc, doc->model));
	cr_assert_eq(doc->memory.used, before);
	cr_assert_eq(edit_set_metadata(doc, "k", "v", NULL), TAMIS_E_MEMORY);
	cr_assert_eq(doc->memory.used, before);
	doc_free(doc);
}

Test(edit, each_allocation_fails_in_turn)
{
	enum tamis_status st = TAMIS_E_MEMORY;
	for (uint64_t k = 1; st != TAMIS_OK; k++) {
		struct document *doc = small_document();
		struct tamis_error err = { 0 };
		doc->memory.fail_at = doc->memory.calls + k;
		st = every_edit(doc, &err);
		if (st != TAMIS_OK)
			cr_assert_eq(st, TAMIS_E_MEMORY);
		cr_assert_eq(err.status, st);
		doc->memory.fail_at = 0;
		uint8_t *data;
		size_t size;
		cr_assert_eq(doc_pack(doc, &data, &size, NULL), TAMIS_OK);
		free(data);
		doc_free(doc);
		cr_assert_lt(k, 200u);
	}
}

Test(edit, lists_and_order)
{
	struct document *doc = small_document();
	Onnx__NodeProto *n = doc->model->graph->node[0];
	cr_assert_eq(edit_string_insert(doc, &n->n_input, &n->input, 1, "middle", NULL), TAMIS_OK);
	cr_assert_str_eq(n->input[0], "x");
	cr_assert_str_eq(n->input[1], "middle");
	cr_assert_str_eq(n->input[2], "w");
	edit_string_remove(doc, &n->n_input, &n->input, 0);
	cr_assert_eq(n->n_input, 2u);
	cr_assert_str_eq(n->input[0], "middle");
	cr_assert_eq(edit_string(doc, &n->name, NULL, NULL), TAMIS_OK);
	cr_assert_null(n->name);
	Onnx__GraphProto *g = doc->model->graph;
	for (int i = 0; i < 10; i++) {
		Onnx__NodeProto *more;
		char name[2] = { (char)('0' + i), 0 };
		cr_assert_eq(edit_node(doc, "Relu", "", name, &more, NULL), TAMIS_OK);
		cr_assert_eq(edit_insert(doc, &g->n_node, &g->node, 0, more, NULL), TAMIS_OK);
	}
	bool drop[11] = { [0] = true, [3] = true, [10] = true };
	edit_filter(doc, &g->n_node, &g->node, drop);
	cr_assert_eq(g->n_node, 8u);
	cr_assert_str_eq(g->node[0]->name, "8");
	cr_assert_str_eq(g->node[7]->name, "0");
	Onnx__NodeProto *taken = edit_take(&g->n_node, &g->node, 7);
	cr_assert_str_eq(taken->name, "0");
	edit_free(doc, taken);
	doc_free(doc);
}

Test(edit, ir_is_only_raised)
{
	struct document *doc = small_document();
	cr_assert_not(edit_raise_ir(doc, 6));
	cr_assert_eq(doc->model->ir_version, 8);
	cr_assert(edit_raise_ir(doc, 10));
	cr_assert_eq(doc->model->ir_version, 10);
	doc_free(doc);
}

/* protobuf-c and our code around it, with each allocation of loading failing. */
Test(edit, loading_survives_each_failing_allocation)
{
	struct bytes m = small_model();
	enum tamis_status st = TAMIS_E_MEMORY;
	uint64_t k = 0;
	while (st != TAMIS_OK && k < 1000) {
		struct doc_limits limits = { .fail_after = ++k };
		struct document *doc;
		struct tamis_error err = { 0 };
		st = doc_load_memory(m.data, m.size, NULL, &limits, &doc, &err);
		cr_assert(st == TAMIS_OK || st == TAMIS_E_MEMORY, "%s", err.message);
		cr_assert(st == TAMIS_OK || doc == NULL);
		doc_free(doc);
	}
	cr_assert_gt(k, 20u);
	bytes_free(&m);
}

static enum tamis_status count(void *ctx, ProtobufCMessage *message, struct tamis_error *err)
{
	(void)message, (void)err;
	++*(int *)ctx;
	return TAMIS_OK;
}

Test(edit, the_walk_meets_every_message_once)
{
	struct document *doc = small_document();
	int n = 0;
	ProtobufCMessage *root = &doc->model->base;
	cr_assert_eq(walk_messages(root, &onnx__value_info_proto__descriptor, count, &n, NULL), TAMIS_OK);
	cr_assert_eq(n, 2);
	n = 0;
	cr_assert_eq(walk_messages(root, &onnx__tensor_shape_proto__dimension__descriptor, count, &n, NULL),
	             TAMIS_OK);
	cr_assert_eq(n, 4);
	n = 0;
	cr_assert_eq(walk_messages(root, &onnx__model_proto__descriptor, count, &n, NULL), TAMIS_OK);
	cr_assert_eq(n, 1);
	doc_free(doc);
}
