/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of tensors, types and attributes, each by itself. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "onnx/checker.h"
#include "onnx/payload.h"

#define TYPE(name) ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__##name

/* A hard link may lie in any directory: whoever writes there writes into this model. That a file is missing is said where it
 * is read. */
static void check_links(struct checker *c, const Onnx__TensorProto *t, const char *node)
{
	struct payload_external e;
	struct stat info;
	int fd;
	if (!c->doc || payload_external(t, &e, NULL) != TAMIS_OK || (c->location && strcmp(c->location, e.location) == 0))
		return;
	c->location = e.location;
	if (file_open_beneath(c->doc->dir, c->doc->real_dir, e.location, &fd, NULL) != TAMIS_OK)
		return;
	if (fstat(fd, &info) == 0 && info.st_nlink > 1)
		check_found(c, RULE_EXTERNAL_LINKS, node, t->name, "'%.200s' has %lld names: what is written under another one "
		            "changes these weights", e.location, (long long)info.st_nlink);
	close(fd);
}

void check_tensor(struct checker *c, const Onnx__TensorProto *t, const char *node)
{
	struct tamis_error why = { 0 };
	bool external = t->has_data_location && t->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
	if (c->options.no_payloads)
		return;
	if (payload_check(c->doc, t, &why) != TAMIS_OK)
		check_found(c, external ? RULE_TENSOR_EXTERNAL : RULE_TENSOR_PAYLOAD, node, t->name, "%s", why.message);
	else if (external)
		check_links(c, t, node);
}

void check_sparse(struct checker *c, const Onnx__SparseTensorProto *s, const char *node)
{
	struct tamis_error why = { 0 };
	const char *name = s->values ? s->values->name : NULL;
	if (c->ir < 6)
		check_found(c, RULE_SPARSE_IR, node, name, "a sparse tensor stands in a model of IR %lld",
		            (long long)c->ir);
	if (c->options.no_payloads)
		return;
	enum tamis_status st = sparse_check(c->doc, s, &why);
	c->no_memory = c->no_memory || st == TAMIS_E_MEMORY;
	if (st != TAMIS_OK)
		check_found(c, RULE_SPARSE_TENSOR, node, name, "%s", why.message);
}

static void check_element(struct checker *c, bool has, int32_t type, const char *name)
{
	if (!has || !dtype_known(type))
		check_found(c, RULE_TYPE_ELEMENT, NULL, name,
		            "element type %d of '%.200s' is not one that ONNX IR 13 defines",
		            has ? type : 0, check_or_empty(name));
}

static void check_shape(struct checker *c, const Onnx__TensorShapeProto *shape, const char *name)
{
	for (size_t i = 0; shape && i < shape->n_dim; i++) {
		const Onnx__TensorShapeProto__Dimension *d = shape->dim[i];
		if (d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE && d->dim_value < 0)
			check_found(c, RULE_DIM_NEGATIVE, NULL, name, "dimension %zu of '%.200s' is %lld", i, check_or_empty(name),
			            (long long)d->dim_value);
	}
}

/* One level of a type; what it is made of comes back, NULL at the end. */
static const Onnx__TypeProto *check_type_level(struct checker *c, const Onnx__TypeProto *t, const char *name)
{
	const Onnx__TypeProto *inner = NULL;
	switch (t->value_case) {
	case ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE:
		check_element(c, t->tensor_type->has_elem_type, t->tensor_type->elem_type, name);
		check_shape(c, t->tensor_type->shape, name);
		return NULL;
	case ONNX__TYPE_PROTO__VALUE_SPARSE_TENSOR_TYPE:
		check_element(c, t->sparse_tensor_type->has_elem_type, t->sparse_tensor_type->elem_type, name);
		check_shape(c, t->sparse_tensor_type->shape, name);
		return NULL;
	case ONNX__TYPE_PROTO__VALUE_OPAQUE_TYPE:
		return NULL;
	case ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE:
		inner = t->sequence_type->elem_type;
		break;
	case ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE:
		inner = t->optional_type->elem_type;
		break;
	case ONNX__TYPE_PROTO__VALUE_MAP_TYPE:
		check_element(c, t->map_type->has_key_type, t->map_type->key_type, name);
		inner = t->map_type->value_type;
		break;
	default:
		break;
	}
	if (!inner)
		check_found(c, RULE_TYPE_MISSING, NULL, name, "the type of '%.200s' is empty", check_or_empty(name));
	return inner;
}

void check_type(struct checker *c, const Onnx__TypeProto *t, const char *name)
{
	while (t)
		t = check_type_level(c, t, name);
}

/* Bit k: the value field of attribute type k is set. */
static uint32_t fields_set(const Onnx__AttributeProto *a)
{
	uint32_t set = 0;
	set |= (uint32_t)!!a->has_f << TYPE(FLOAT);
	set |= (uint32_t)!!a->has_i << TYPE(INT);
	set |= (uint32_t)!!a->has_s << TYPE(STRING);
	set |= (uint32_t)!!a->t << TYPE(TENSOR);
	set |= (uint32_t)!!a->g << TYPE(GRAPH);
	set |= (uint32_t)!!a->sparse_tensor << TYPE(SPARSE_TENSOR);
	set |= (uint32_t)!!a->tp << TYPE(TYPE_PROTO);
	set |= (uint32_t)!!a->n_floats << TYPE(FLOATS);
	set |= (uint32_t)!!a->n_ints << TYPE(INTS);
	set |= (uint32_t)!!a->n_strings << TYPE(STRINGS);
	set |= (uint32_t)!!a->n_tensors << TYPE(TENSORS);
	set |= (uint32_t)!!a->n_graphs << TYPE(GRAPHS);
	set |= (uint32_t)!!a->n_sparse_tensors << TYPE(SPARSE_TENSORS);
	set |= (uint32_t)!!a->n_type_protos << TYPE(TYPE_PROTOS);
	return set;
}

/* May the value be left out? Lists may be empty; old writers leave out zero and the empty string. */
static bool may_be_absent(int type)
{
	return type != TYPE(TENSOR) && type != TYPE(GRAPH) && type != TYPE(SPARSE_TENSOR)
		&& type != TYPE(TYPE_PROTO);
}

static void check_attribute_value(struct checker *c, const Onnx__AttributeProto *a, const char *node)
{
	const char *name = check_or_empty(a->name);
	uint32_t set = fields_set(a);
	int type = a->has_type ? (int)a->type : 0;
	if (a->ref_attr_name && *a->ref_attr_name) {
		if (c->function < 0 || set)
			check_found(c, RULE_ATTRIBUTE_REF, node, NULL, "attribute '%.100s' refers to '%.100s' %s", name,
			            a->ref_attr_name, set ? "and has a value too" : "outside a function");
		return;
	}
	if (type <= 0 || type > TYPE(TYPE_PROTOS)) {
		check_found(c, RULE_ATTRIBUTE_TYPE, node, NULL,
		            "attribute '%.100s' has type %d, which ONNX does not define", name, type);
		return;
	}
	if (set & ~(1u << type))
		check_found(c, RULE_ATTRIBUTE_VALUE, node, NULL,
		            "attribute '%.100s' holds another value than its type %d says", name, type);
	else if (!set && !may_be_absent(type))
		check_found(c, RULE_ATTRIBUTE_VALUE, node, NULL, "attribute '%.100s' holds no value", name);
}

void check_attribute(struct checker *c, const Onnx__AttributeProto *a, const char *node)
{
	if (!a->name || !*a->name)
		check_found(c, RULE_ATTRIBUTE_NAME, node, NULL, "an attribute has no name");
	check_attribute_value(c, a, node);
	if (a->t)
		check_tensor(c, a->t, node);
	for (size_t i = 0; i < a->n_tensors; i++)
		check_tensor(c, a->tensors[i], node);
	if (a->sparse_tensor)
		check_sparse(c, a->sparse_tensor, node);
	for (size_t i = 0; i < a->n_sparse_tensors; i++)
		check_sparse(c, a->sparse_tensors[i], node);
	if (a->tp)
		check_type(c, a->tp, a->name);
	for (size_t i = 0; i < a->n_type_protos; i++)
		check_type(c, a->type_protos[i], a->name);
}
