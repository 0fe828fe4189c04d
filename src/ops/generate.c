/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that make tensors out of attributes, shapes and scalars, and Trilu, which makes zeros. */
#include <math.h>
#include <onnx.pb-c.h>
#include <stdlib.h>
#include <string.h>

#include "onnx/payload.h"
#include "ops/args.h"
#include "ops/family.h"
#include "ops/strided.h"

/* ---- Constant ---- */

static const char *const constant_forms[] = {"sparse_value", "value", "value_float", "value_floats",
                                             "value_int", "value_ints", "value_string", "value_strings"};

static const Onnx__AttributeProto *attribute(const struct op_parse *p, const char *name)
{
	const Onnx__NodeProto *node = p->node->proto;

	for (size_t i = 0; i < node->n_attribute; i++)
		if (node->attribute[i]->name && !strcmp(node->attribute[i]->name, name))
			return node->attribute[i];
	return NULL;
}

/* A dense tensor of n elements, data in the arena: rank 1 for lists, else a scalar. */
static enum tamis_status constant_make(struct op_parse *p, struct tensor *t, enum dtype type, bool list,
                                       int64_t n)
{
	enum tamis_status status = tensor_shape(t, type, list, &n, p->err);

	if (!status)
		t->data = args_alloc(p, tensor_bytes(t) + 1);
	return status ? status : t->data ? TAMIS_OK : TAMIS_E_MEMORY;
}

static enum tamis_status constant_sparse(struct op_parse *p, struct tensor *t)
{
	const Onnx__AttributeProto *a = attribute(p, "sparse_value");
	struct tensor dense = {0};
	enum tamis_status status;

	if (!a->sparse_tensor)
		return tm_fail(p->err, TAMIS_E_INVALID, "attribute 'sparse_value' holds no sparse tensor");
	status = sparse_read(p->doc, a->sparse_tensor, &dense, p->err);
	if (status)
		return status;
	*t = dense;
	t->data = args_alloc(p, tensor_bytes(t) + 1);
	if (t->data && dense.count)
		memcpy(t->data, dense.data, tensor_bytes(t));
	free(dense.data);
	return t->data ? TAMIS_OK : TAMIS_E_MEMORY;
}

/* Strings point into the document, as those of tensors do. */
static enum tamis_status constant_strings(struct op_parse *p, const Onnx__AttributeProto *a, bool list,
                                          struct tensor *t)
{
	size_t n = list ? a->n_strings : 1;
	enum tamis_status status = constant_make(p, t, DT_STRING, list, (int64_t)n);

	for (size_t i = 0; !status && i < n; i++) {
		const ProtobufCBinaryData *s = list ? &a->strings[i] : &a->s;

		((struct tm_string *)t->data)[i] = (struct tm_string){(const char *)s->data, s->len};
	}
	return status;
}

static enum tamis_status constant_ints(struct op_parse *p, const char *name, bool list, struct tensor *t)
{
	const int64_t *values;
	int64_t value;
	int n = 1;
	enum tamis_status status = list ? attr_ints(p, name, &values, &n) : attr_int(p, name, 0, &value);

	if (!status)
		status = constant_make(p, t, DT_INT64, list, n);
	if (!status && n)
		memcpy(t->data, list ? values : &value, (size_t)n * sizeof value);
	return status;
}

static enum tamis_status constant_floats(struct op_parse *p, const char *name, bool list, struct tensor *t)
{
	const float *values;
	float value;
	int n = 1;
	enum tamis_status status = list ? attr_floats(p, name, &values, &n) : attr_float(p, name, 0, &value);

	if (!status)
		status = constant_make(p, t, DT_FLOAT, list, n);
	if (!status && n)
		memcpy(t->data, list ? values : &value, (size_t)n * sizeof value);
	return status;
}

/* The value, from whichever of the forms is there; exactly one must be. */
static enum tamis_status constant_parse(struct op_parse *p, void **attr)
{
	struct tensor *t = *attr = args_alloc(p, sizeof *t);
	size_t forms = sizeof constant_forms / sizeof *constant_forms, found = 0;
	const char *form = "";

	if (!t)
		return TAMIS_E_MEMORY;
	for (size_t i = 0; i < forms; i++)
		if (attr_has(p, constant_forms[i])) {
			form = constant_forms[i];
			found++;
		}
	if (found != 1)
		return tm_fail(p->err, TAMIS_E_INVALID, "Constant needs exactly one value attribute; it has %zu",
		               found);
	if (!strcmp(form, "sparse_value"))
		return constant_sparse(p, t);
	if (!strcmp(form, "value"))
		return attr_tensor(p, form, t);
	if (!strncmp(form, "value_s", 7))
		return constant_strings(p, attribute(p, form), !strcmp(form, "value_strings"), t);
	if (!strncmp(form, "value_i", 7))
		return constant_ints(p, form, !strcmp(form, "value_ints"), t);
	return constant_floats(p, form, !strcmp(form, "value_floats"), t);
}

static enum tamis_status constant_shape(struct op_call *c)
{
	const struct tensor *t = c->node->attr;

	return op_set_like(c, 0, t->type, t);
}

static enum tamis_status constant_run(struct op_call *c)
{
	const struct tensor *t = c->node->attr;

	if (c->out[0] && t->count)
		memcpy(c->out[0]->data, t->data, tensor_bytes(t));
	return TAMIS_OK;
}

/* ---- ConstantOfShape ---- */

static enum tamis_status of_shape_parse(struct op_parse *p, void **attr)
{
	struct tensor *t = *attr = args_alloc(p, sizeof *t);
	enum tamis_status status;

	if (!t)
		return TAMIS_E_MEMORY;
	status = attr_tensor(p, "value", t);
	if (!status && t->type == DT_UNDEFINED)
		return constant_make(p, t, DT_FLOAT, false, 1);
	if (!status && t->count != 1)
		return tm_fail(p->err, TAMIS_E_INVALID, "the value must have one element, not %lld",
		               (long long)t->count);
	if (!status && !args_element(t->type))
		return tm_fail(p->err, TAMIS_E_UNSUPPORTED, "a value of type %s is not supported here",
		               dtype_name((int)t->type));
	return status;
}

static enum tamis_status of_shape_shape(struct op_call *c)
{
	const struct tensor *value = c->node->attr;
	int64_t dims[TENSOR_MAX_RANK];
	int n = 0;
	enum tamis_status status;

	if (!op_needs(c, 0))
		return TAMIS_OK;
	status = args_ints(c, 0, "the shape", TENSOR_MAX_RANK, dims, &n);
	return status ? status : op_set_out(c, 0, value->type, n, dims);
}

static enum tamis_status of_shape_run(struct op_call *c)
{
	const struct tensor *value = c->node->attr;

	if (c->out[0])
		strided_fill(c->out[0]->data, c->out[0]->count, args_element(value->type), value->data);
	return TAMIS_OK;
}

/* ---- Range ---- */

/* ceil((limit - start) / delta), at least 0, in whole numbers; delta is not 0. */
static uint64_t range_count(int64_t start, int64_t limit, int64_t delta)
{
	bool up = delta > 0;
	uint64_t span = up ? (uint64_t)limit - (uint64_t)start : (uint64_t)start - (uint64_t)limit;
	uint64_t step = up ? (uint64_t)delta : -(uint64_t)delta;

	if (up ? limit <= start : limit >= start)
		return 0;
	return (span - 1) / step + 1;
}

static enum tamis_status range_of_reals(const struct op_call *c, int64_t *n)
{
	double start = tensor_get(c->in[0], 0), limit = tensor_get(c->in[1], 0), delta = tensor_get(c->in[2], 0);
	double count = ceil((limit - start) / delta);

	if (c->in[0]->type == DT_FLOAT)
		count = ceil((double)((float)limit - (float)start) / delta);
	if (!(delta != 0) || !(count < 0x1p62))
		return tm_fail(c->err, TAMIS_E_INVALID, "a range from %g to %g by %g has no finite length", start,
		               limit, delta);
	*n = count > 0 ? (int64_t)count : 0;
	return TAMIS_OK;
}

static enum tamis_status range_shape(struct op_call *c)
{
	enum dtype type = c->in[0]->type;
	bool real = dtype_is_float((int)type);
	int64_t n = 0;
	enum tamis_status status = TAMIS_OK;

	if (!real && type != DT_INT16 && type != DT_INT32 && type != DT_INT64)
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "a range of %s is not supported", dtype_name((int)type));
	for (int i = 0; i < 3; i++)
		if (c->in[i]->count != 1 || c->in[i]->rank > 1 || c->in[i]->type != type)
			return tm_fail(c->err, TAMIS_E_INVALID, "start, limit and delta must be scalars of one type");
	if (!op_needs(c, 0) || !op_needs(c, 1) || !op_needs(c, 2))
		return TAMIS_OK;
	if (real) {
		status = range_of_reals(c, &n);
	} else {
		int64_t delta = tensor_get_int(c->in[2], 0);
		int64_t start = tensor_get_int(c->in[0], 0), limit = tensor_get_int(c->in[1], 0);
		uint64_t count = delta ? range_count(start, limit, delta) : 0;

		if (delta == 0 || count > INT64_MAX)
			return tm_fail(c->err, TAMIS_E_INVALID, "a range by %lld has no usable length", (long long)delta);
		n = (int64_t)count;
	}
	return status ? status : op_set_out(c, 0, type, 1, &n);
}

static enum tamis_status range_run(struct op_call *c)
{
	struct tensor *y = c->out[0];
	double start = tensor_get(c->in[0], 0), delta = tensor_get(c->in[2], 0);
	uint64_t first = (uint64_t)tensor_get_int(c->in[0], 0), step = (uint64_t)tensor_get_int(c->in[2], 0);

	if (!y)
		return TAMIS_OK;
	for (int64_t i = 0; i < y->count; i++)
		switch (y->type) {
		case DT_FLOAT: ((float *)y->data)[i] = (float)(start + (double)i * delta); break;
		case DT_DOUBLE: ((double *)y->data)[i] = start + (double)i * delta; break;
		case DT_INT16: ((int16_t *)y->data)[i] = (int16_t)(first + (uint64_t)i * step); break;
		case DT_INT32: ((int32_t *)y->data)[i] = (int32_t)(first + (uint64_t)i * step); break;
		default: ((int64_t *)y->data)[i] = (int64_t)(first + (uint64_t)i * step); break;
		}
	return TAMIS_OK;
}

/* ---- EyeLike ---- */

struct eye_attr { int64_t type, k; }; /* type 0: that of the input */

static enum tamis_status eye_parse(struct op_parse *p, void **attr)
{
	struct eye_attr *a = *attr = args_alloc(p, sizeof *a);
	enum tamis_status status;

	if (!a)
		return TAMIS_E_MEMORY;
	status = attr_int(p, "dtype", 0, &a->type);
	return status ? status : attr_int(p, "k", 0, &a->k);
}

static enum tamis_status eye_shape(struct op_call *c)
{
	const struct eye_attr *a = c->node->attr;
	const struct tensor *x = c->in[0];
	int64_t type = a->type ? a->type : x->type;

	if (x->rank != 2)
		return tm_fail(c->err, TAMIS_E_INVALID, "the input must have rank 2, not %d", x->rank);
	if (type < 0 || type >= DT_COUNT || !dtype_known((int)type))
		return tm_fail(c->err, TAMIS_E_INVALID, "dtype %lld is not a data type", (long long)type);
	if (type == DT_STRING || dtype_kind((int)type) == 'o')
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "elements of type %s are not supported here",
		               dtype_name((int)type));
	return op_set_like(c, 0, (enum dtype)type, x);
}

static enum tamis_status eye_run(struct op_call *c)
{
	const struct eye_attr *a = c->node->attr;
	struct tensor *y = c->out[0];

	if (!y || y->count == 0)
		return TAMIS_OK;
	memset(y->data, 0, tensor_bytes(y));
	if (a->k >= y->dims[1] || a->k <= -y->dims[0])
		return TAMIS_OK;
	for (int64_t i = a->k < 0 ? -a->k : 0; i < y->dims[0] && i + a->k < y->dims[1]; i++)
		tensor_set(y, i * y->dims[1] + i + a->k, 1);
	return TAMIS_OK;
}

/* ---- Trilu ---- */

static enum tamis_status trilu_parse(struct op_parse *p, void **attr)
{
	bool *upper = *attr = args_alloc(p, sizeof *upper);

	return upper ? attr_bool(p, "upper", true, upper) : TAMIS_E_MEMORY;
}

static enum tamis_status trilu_shape(struct op_call *c)
{
	const struct tensor *x = c->in[0], *k = op_in(c, 1);
	enum tamis_status status = args_movable(c, 0);

	if (!status && x->rank < 2)
		status = tm_fail(c->err, TAMIS_E_INVALID, "the input must have rank 2 at least, not %d", x->rank);
	if (!status && k && (k->type != DT_INT64 || k->rank > 1 || k->count != 1))
		status = tm_fail(c->err, TAMIS_E_INVALID, "k must be one int64");
	return status ? status : op_set_like(c, 0, x->type, x);
}

/* Columns [*low, *high) of row i stay; the others become zero. */
static void trilu_kept(const struct op_call *c, int64_t i, int64_t *low, int64_t *high)
{
	const bool *upper = c->node->attr;
	const struct tensor *x = c->in[0], *k = op_in(c, 1);
	int64_t rows = x->dims[x->rank - 2], cols = x->dims[x->rank - 1];
	int64_t diagonal = k ? tensor_get_int(k, 0) : 0, at;

	diagonal = diagonal < -rows ? -rows : diagonal > cols ? cols : diagonal;
	at = i + diagonal + !*upper;
	at = at < 0 ? 0 : at > cols ? cols : at;
	*low = *upper ? at : 0;
	*high = *upper ? cols : at;
}

static enum tamis_status trilu_run(struct op_call *c)
{
	const struct tensor *x = c->in[0];
	struct tensor *y = c->out[0];
	size_t size = args_element(x->type);
	int64_t rows = x->dims[x->rank - 2], cols = x->dims[x->rank - 1], low, high;

	if (!y || y->count == 0)
		return TAMIS_OK;
	for (int64_t r = 0; r < y->count / cols; r++) {
		const char *from = (const char *)x->data + (size_t)(r * cols) * size;
		char *to = (char *)y->data + (size_t)(r * cols) * size;

		trilu_kept(c, r % rows, &low, &high);
		if (to != from)
			memcpy(to, from, (size_t)cols * size);
		memset(to, 0, (size_t)low * size);
		memset(to + (size_t)high * size, 0, (size_t)(cols - high) * size);
	}
	return TAMIS_OK;
}

static enum tamis_status trilu_reverse(struct op_grad *g)
{
	const struct tensor *gy = g->gout[0];
	struct tensor *gx = g->gin[0];
	int64_t rows, cols, low, high;

	if (!gy || !gx || gx->count == 0)
		return TAMIS_OK;
	rows = gx->dims[gx->rank - 2];
	cols = gx->dims[gx->rank - 1];
	for (int64_t r = 0; r < gx->count / cols; r++) {
		size_t size = args_element(gx->type), at;
		struct strided s = {1, {0}, {1}, {1}};

		trilu_kept(g->call, r % rows, &low, &high);
		s.dims[0] = high - low;
		at = (size_t)(r * cols + low) * size;
		strided_add(&s, gx->type, (const char *)gy->data + at, (char *)gx->data + at);
	}
	return TAMIS_OK;
}

const struct op ops_generate[] = {
	{.name = "Constant", .domain = "", .since = 1, .until = OP_LATEST, .min_in = 0, .max_in = 0, .min_out = 1,
	 .max_out = 1, .flags = OP_ANY_BITS, .parse = constant_parse, .shape = constant_shape,
	 .run = constant_run},
	{.name = "ConstantOfShape", .domain = "", .since = 9, .until = OP_LATEST, .min_in = 1, .max_in = 1,
	 .min_out = 1, .max_out = 1, .flags = OP_ANY_BITS, .parse = of_shape_parse, .shape = of_shape_shape,
	 .run = of_shape_run},
	{.name = "EyeLike", .domain = "", .since = 9, .until = OP_LATEST, .min_in = 1, .max_in = 1, .min_out = 1,
	 .max_out = 1, .flags = OP_ANY_BITS | OP_SHAPE_ONLY, .parse = eye_parse, .shape = eye_shape,
	 .run = eye_run},
	{.name = "Range", .domain = "", .since = 11, .until = OP_LATEST, .min_in = 3, .max_in = 3, .min_out = 1,
	 .max_out = 1, .shape = range_shape, .run = range_run},
	{.name = "Trilu", .domain = "", .since = 14, .until = OP_LATEST, .min_in = 1, .max_in = 2, .min_out = 1,
	 .max_out = 1, .flags = OP_ANY_BITS | OP_INPLACE, .parse = trilu_parse, .shape = trilu_shape,
	 .run = trilu_run, .reverse = trilu_reverse},
	{0},
};
