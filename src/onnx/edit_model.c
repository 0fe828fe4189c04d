/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of edit.h that know the ONNX messages. */
#include "onnx/edit.h"

#include <string.h>

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_fail(err, TAMIS_E_MEMORY, "out of memory, or over its limit, while changing the model");
}

enum tamis_status edit_add_node(struct document *doc, Onnx__GraphProto *g, Onnx__NodeProto *node,
                                struct tamis_error *err)
{
	return edit_insert(doc, &g->n_node, &g->node, g->n_node, node, err);
}

enum tamis_status edit_add_initializer(struct document *doc, Onnx__GraphProto *g, Onnx__TensorProto *t,
                                       struct tamis_error *err)
{
	return edit_insert(doc, &g->n_initializer, &g->initializer, g->n_initializer, t, err);
}

enum tamis_status edit_add_sparse_initializer(struct document *doc, Onnx__GraphProto *g,
                                              Onnx__SparseTensorProto *s, struct tamis_error *err)
{
	return edit_insert(doc, &g->n_sparse_initializer, &g->sparse_initializer, g->n_sparse_initializer, s, err);
}

void edit_remove_node(struct document *doc, Onnx__GraphProto *g, size_t i)
{
	if (i < g->n_node)
		edit_free(doc, edit_take(&g->n_node, &g->node, i));
}

void edit_remove_initializer(struct document *doc, Onnx__GraphProto *g, size_t i)
{
	if (i < g->n_initializer)
		edit_free(doc, edit_take(&g->n_initializer, &g->initializer, i));
}

void edit_remove_sparse_initializer(struct document *doc, Onnx__GraphProto *g, size_t i)
{
	if (i < g->n_sparse_initializer)
		edit_free(doc, edit_take(&g->n_sparse_initializer, &g->sparse_initializer, i));
}

void edit_remove_value_info(struct document *doc, Onnx__GraphProto *g, size_t i)
{
	if (i < g->n_value_info)
		edit_free(doc, edit_take(&g->n_value_info, &g->value_info, i));
}

enum tamis_status edit_node(struct document *doc, const char *op_type, const char *domain, const char *name,
                            Onnx__NodeProto **out, struct tamis_error *err)
{
	Onnx__NodeProto *node = edit_new(doc, &onnx__node_proto__descriptor);
	*out = NULL;
	if (!node)
		return no_memory(err);
	enum tamis_status st = edit_string(doc, &node->op_type, op_type, err);
	if (st == TAMIS_OK)
		st = edit_string(doc, &node->domain, domain, err);
	if (st == TAMIS_OK)
		st = edit_string(doc, &node->name, name, err);
	if (st != TAMIS_OK)
		edit_free(doc, node);
	else
		*out = node;
	return st;
}

/* Puts a finished attribute into the node, in the place of one of the same name where there is one. */
static enum tamis_status put_attribute(struct document *doc, Onnx__NodeProto *node, Onnx__AttributeProto *a,
                                       struct tamis_error *err)
{
	for (size_t i = 0; i < node->n_attribute; i++) {
		if (node->attribute[i]->name && strcmp(node->attribute[i]->name, a->name) == 0) {
			edit_free(doc, node->attribute[i]);
			node->attribute[i] = a;
			return TAMIS_OK;
		}
	}
	enum tamis_status st = edit_insert(doc, &node->n_attribute, &node->attribute, node->n_attribute, a, err);
	if (st != TAMIS_OK)
		edit_free(doc, a);
	return st;
}

static Onnx__AttributeProto *new_attribute(struct document *doc, const char *name,
                                           Onnx__AttributeProto__AttributeType type)
{
	Onnx__AttributeProto *a = edit_new(doc, &onnx__attribute_proto__descriptor);
	if (!a)
		return NULL;
	a->has_type = 1;
	a->type = type;
	a->name = doc_strdup(doc, name);
	if (a->name)
		return a;
	edit_free(doc, a);
	return NULL;
}

enum tamis_status edit_attribute_int(struct document *doc, Onnx__NodeProto *node, const char *name,
                                     int64_t value, struct tamis_error *err)
{
	Onnx__AttributeProto *a = new_attribute(doc, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
	if (!a)
		return no_memory(err);
	a->has_i = 1;
	a->i = value;
	return put_attribute(doc, node, a, err);
}

enum tamis_status edit_attribute_float(struct document *doc, Onnx__NodeProto *node, const char *name,
                                       float value, struct tamis_error *err)
{
	Onnx__AttributeProto *a = new_attribute(doc, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
	if (!a)
		return no_memory(err);
	a->has_f = 1;
	a->f = value;
	return put_attribute(doc, node, a, err);
}

enum tamis_status edit_attribute_ints(struct document *doc, Onnx__NodeProto *node, const char *name,
                                      const int64_t *values, size_t count, struct tamis_error *err)
{
	Onnx__AttributeProto *a = new_attribute(doc, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
	if (!a)
		return no_memory(err);
	enum tamis_status st = edit_list(doc, &a->n_ints, (void **)&a->ints, values, count, sizeof *values, err);
	if (st == TAMIS_OK)
		return put_attribute(doc, node, a, err);
	edit_free(doc, a);
	return st;
}

static Onnx__StringStringEntryProto *find_metadata(const struct document *doc, const char *key)
{
	for (size_t i = 0; i < doc->model->n_metadata_props; i++) {
		Onnx__StringStringEntryProto *e = doc->model->metadata_props[i];
		if (e->key && strcmp(e->key, key) == 0)
			return e;
	}
	return NULL;
}

enum tamis_status edit_set_metadata(struct document *doc, const char *key, const char *value,
                                    struct tamis_error *err)
{
	Onnx__ModelProto *m = doc->model;
	Onnx__StringStringEntryProto *e = find_metadata(doc, key);
	if (e)
		return edit_string(doc, &e->value, value, err);
	e = edit_new(doc, &onnx__string_string_entry_proto__descriptor);
	if (!e)
		return no_memory(err);
	enum tamis_status st = edit_string(doc, &e->key, key, err);
	if (st == TAMIS_OK)
		st = edit_string(doc, &e->value, value, err);
	if (st == TAMIS_OK)
		st = edit_insert(doc, &m->n_metadata_props, &m->metadata_props, m->n_metadata_props, e, err);
	if (st != TAMIS_OK)
		edit_free(doc, e);
	return st;
}

void edit_remove_metadata(struct document *doc, const char *key)
{
	Onnx__ModelProto *m = doc->model;
	for (size_t i = m->n_metadata_props; i-- > 0;) {
		Onnx__StringStringEntryProto *e = m->metadata_props[i];
		if (e->key && strcmp(e->key, key) == 0)
			edit_free(doc, edit_take(&m->n_metadata_props, &m->metadata_props, i));
	}
}

const char *edit_get_metadata(const struct document *doc, const char *key)
{
	const Onnx__StringStringEntryProto *e = find_metadata(doc, key);
	return e ? e->value : NULL;
}

bool edit_raise_ir(struct document *doc, int64_t version)
{
	if (doc->model->has_ir_version && doc->model->ir_version >= version)
		return false;
	doc->model->has_ir_version = 1;
	doc->model->ir_version = version;
	return true;
}
