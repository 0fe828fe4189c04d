/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/attr.h"

#include <stdlib.h>
#include <string.h>

#include "graph/graph.h"
#include "onnx/document.h"
#include "onnx/payload.h"

typedef Onnx__AttributeProto attribute;
#define KIND(x) ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__##x

static const char *const kind_names[] = { "undefined", "float", "int", "string", "tensor", "graph", "floats", "ints",
	"strings", "tensors", "graphs", "sparse_tensor", "sparse_tensors", "type_proto", "type_protos" };

static const char *kind_name(int kind)
{
	size_t n = sizeof kind_names / sizeof *kind_names;

	return kind >= 0 && (size_t)kind < n ? kind_names[kind] : "unknown";
}

/* The first from position `at` on. */
static const attribute *find_from(const struct op_parse *p, const char *name, size_t *at)
{
	const Onnx__NodeProto *node = p->node->proto;

	for (size_t i = *at; i < node->n_attribute; i++)
		if (node->attribute[i]->name && !strcmp(node->attribute[i]->name, name)) {
			*at = i + 1;
			return node->attribute[i];
		}
	return NULL;
}

static const attribute *find(const struct op_parse *p, const char *name)
{
	size_t at = 0;

	return find_from(p, name, &at);
}

/* Files of IR versions below 2 leave `type` out: what is there then tells. */
static int kind_of(const attribute *a)
{
	if (a->has_type && a->type)
		return (int)a->type;
	return a->has_i ? KIND(INT) : a->has_f ? KIND(FLOAT) : a->has_s ? KIND(STRING) : a->t ? KIND(TENSOR)
		: a->g ? KIND(GRAPH) : a->n_ints ? KIND(INTS) : a->n_floats ? KIND(FLOATS) : KIND(UNDEFINED);
}

/* The attribute if it is there and of the wanted kind; *out NULL when missing. */
static enum tamis_status typed(const struct op_parse *p, const char *name, int kind, const attribute **out)
{
	size_t at = 0;

	*out = find_from(p, name, &at);
	if (!*out)
		return TAMIS_OK;
	if (find_from(p, name, &at))
		return tm_fail(p->err, TAMIS_E_INVALID, "attribute '%s' of %s is given twice", name, p->node->op->name);
	if (kind_of(*out) == kind)
		return TAMIS_OK;
	return tm_fail(p->err, TAMIS_E_INVALID, "attribute '%s' of %s should be of type %s, not %s", name,
	               p->node->op->name, kind_name(kind), kind_name(kind_of(*out)));
}

bool attr_has(const struct op_parse *p, const char *name)
{
	return find(p, name) != NULL;
}

enum tamis_status attr_required(const struct op_parse *p, const char *name)
{
	if (find(p, name))
		return TAMIS_OK;
	return tm_fail(p->err, TAMIS_E_INVALID, "%s needs the attribute '%s', which is missing", p->node->op->name, name);
}

enum tamis_status attr_int(const struct op_parse *p, const char *name, int64_t fallback, int64_t *out)
{
	const attribute *a;
	enum tamis_status s = typed(p, name, KIND(INT), &a);

	*out = a && s == TAMIS_OK ? a->i : fallback;
	return s;
}

enum tamis_status attr_bool(const struct op_parse *p, const char *name, bool fallback, bool *out)
{
	int64_t v;
	enum tamis_status s = attr_int(p, name, fallback, &v);

	*out = v != 0;
	return s;
}

enum tamis_status attr_float(const struct op_parse *p, const char *name, float fallback, float *out)
{
	const attribute *a;
	enum tamis_status s = typed(p, name, KIND(FLOAT), &a);

	*out = a && s == TAMIS_OK ? a->f : fallback;
	return s;
}

enum tamis_status attr_string(const struct op_parse *p, const char *name, const char *fallback, const char **out)
{
	const attribute *a;
	enum tamis_status s = typed(p, name, KIND(STRING), &a);
	char *copy;

	*out = fallback;
	if (s != TAMIS_OK || !a)
		return s;
	copy = arena_alloc(p->arena, a->s.len + 1);
	if (!copy)
		return tm_no_memory(p->err, "reading attributes");
	if (a->s.len)
		memcpy(copy, a->s.data, a->s.len);
	*out = copy;
	return TAMIS_OK;
}

static enum tamis_status copy_list(const struct op_parse *p, const void *from, size_t count, size_t size,
                                   const void **out, int *n)
{
	void *copy;

	if (count > INT32_MAX)
		return tm_fail(p->err, TAMIS_E_INVALID, "an attribute of %s has %zu entries", p->node->op->name, count);
	copy = arena_array(p->arena, count ? count : 1, size);
	if (!copy)
		return tm_no_memory(p->err, "reading attributes");
	if (count)
		memcpy(copy, from, count * size);
	*out = copy;
	*n = (int)count;
	return TAMIS_OK;
}

enum tamis_status attr_ints(const struct op_parse *p, const char *name, const int64_t **out, int *n)
{
	const attribute *a;
	enum tamis_status s = typed(p, name, KIND(INTS), &a);

	*out = NULL;
	*n = -1;
	if (s != TAMIS_OK || !a)
		return s;
	return copy_list(p, a->ints, a->n_ints, sizeof *a->ints, (const void **)out, n);
}

enum tamis_status attr_floats(const struct op_parse *p, const char *name, const float **out, int *n)
{
	const attribute *a;
	enum tamis_status s = typed(p, name, KIND(FLOATS), &a);

	*out = NULL;
	*n = -1;
	if (s != TAMIS_OK || !a)
		return s;
	return copy_list(p, a->floats, a->n_floats, sizeof *a->floats, (const void **)out, n);
}

static enum tamis_status into_arena(const struct op_parse *p, struct tensor *t)
{
	size_t bytes = tensor_bytes(t);
	void *copy = arena_alloc(p->arena, bytes ? bytes : 1);

	if (copy && bytes)
		memcpy(copy, t->data, bytes);
	free(t->data);
	t->data = copy;
	return copy ? TAMIS_OK : tm_no_memory(p->err, "reading attributes");
}

enum tamis_status attr_tensor(const struct op_parse *p, const char *name, struct tensor *out)
{
	const attribute *a;
	enum tamis_status s = typed(p, name, KIND(TENSOR), &a);

	*out = (struct tensor){ .type = DT_UNDEFINED };
	if (s != TAMIS_OK || !a)
		return s;
	if (!a->t)
		return tm_fail(p->err, TAMIS_E_INVALID, "attribute '%s' of %s has no tensor", name, p->node->op->name);
	s = payload_read(p->doc, a->t, out, p->err);
	return s == TAMIS_OK ? into_arena(p, out) : s;
}

enum tamis_status attr_choice(const struct op_parse *p, const char *name, const char *const *choices, int fallback,
                              int *out)
{
	const char *text;
	enum tamis_status s = attr_string(p, name, NULL, &text);

	*out = fallback;
	if (s != TAMIS_OK || !text)
		return s;
	for (int i = 0; choices[i]; i++)
		if (!strcmp(choices[i], text)) {
			*out = i;
			return TAMIS_OK;
		}
	return tm_fail(p->err, TAMIS_E_INVALID, "attribute '%s' of %s has the unknown value '%.60s'", name,
	               p->node->op->name, text);
}

enum tamis_status attr_graph(const struct op_parse *p, const char *name, Onnx__GraphProto **out)
{
	const attribute *a;
	enum tamis_status s = typed(p, name, KIND(GRAPH), &a);

	*out = a && s == TAMIS_OK ? a->g : NULL;
	return s;
}

enum tamis_status attr_inference(const struct op_parse *p)
{
	bool test = false;
	enum tamis_status s = attr_bool(p, "is_test", false, &test);

	if (s == TAMIS_OK && !test)
		return tm_fail(p->err, TAMIS_E_UNSUPPORTED, "%s in training form (is_test = 0) is not supported",
		               p->node->op->name);
	return s;
}
