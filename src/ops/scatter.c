/* SPDX-License-Identifier: Apache-2.0 */
/* Writing by index: Scatter, ScatterElements, ScatterND, with and without a reduction. The output starts
 * as the data; updates are applied in their own order, so that duplicates have one meaning. */
#include <string.h>

#include "ops/args.h"
#include "ops/family.h"
#include "ops/offsets.h"
#include "ops/strided.h"

enum reduction { REDUCE_NONE, REDUCE_ADD, REDUCE_MUL, REDUCE_MIN, REDUCE_MAX };

struct scatter_attr { int64_t axis; int reduction; };

typedef enum tamis_status offsets_fn(struct op_call *c, struct blocks *b);

static enum tamis_status scatter_parse(struct op_parse *p, void **attr)
{
	static const char *const names[] = {"none", "add", "mul", "min", "max", NULL};
	struct scatter_attr *a = *attr = args_alloc(p, sizeof *a);
	enum tamis_status status;

	if (!a)
		return TAMIS_E_MEMORY;
	status = attr_int(p, "axis", 0, &a->axis);
	if (!status && p->node->opset >= 16)
		status = attr_choice(p, "reduction", names, REDUCE_NONE, &a->reduction);
	return status;
}

/* ---- Reductions ---- */

/* NaN stays NaN in either position, as numpy's minimum and maximum have it. */
#define LESS(x, y) ((x) < (y) || (x) != (x) ? (x) : (y))
#define MORE(x, y) ((x) > (y) || (x) != (x) ? (x) : (y))

#define REDUCER(type, name, expression) \
	static void name(const struct blocks *b, const void *updates, void *data) \
	{ \
		for (int64_t k = 0; k < b->n; k++) { \
			const type *restrict from = (const type *)updates + k * b->length; \
			type *restrict to = (type *)data + b->offset[k]; \
			for (int64_t i = 0; i < b->length; i++) { \
				const type x = to[i], y = from[i]; \
				to[i] = (type)(expression); \
			} \
		} \
	}

/* Integers wrap: sums and products are formed in 64 unsigned bits. */
#define REDUCERS_REAL(type) \
	REDUCER(type, add_##type, x + y) REDUCER(type, mul_##type, x * y) \
	REDUCER(type, min_##type, LESS(x, y)) REDUCER(type, max_##type, MORE(x, y))
#define REDUCERS_INT(type) \
	REDUCER(type, add_##type, (uint64_t)x + (uint64_t)y) \
	REDUCER(type, mul_##type, (uint64_t)x * (uint64_t)y) \
	REDUCER(type, min_##type, x < y ? x : y) REDUCER(type, max_##type, x > y ? x : y)

REDUCERS_REAL(float)
REDUCERS_REAL(double)
REDUCERS_INT(int8_t)
REDUCERS_INT(int16_t)
REDUCERS_INT(int32_t)
REDUCERS_INT(int64_t)
REDUCERS_INT(uint8_t)
REDUCERS_INT(uint16_t)
REDUCERS_INT(uint32_t)
REDUCERS_INT(uint64_t)

typedef void reduce_fn(const struct blocks *b, const void *updates, void *data);

#define ROW(type) {add_##type, mul_##type, min_##type, max_##type}

/* NULL for types without arithmetic. */
static reduce_fn *reducer(enum dtype type, enum reduction how)
{
	static reduce_fn *const rows[DT_COUNT][4] = {
		[DT_FLOAT] = ROW(float), [DT_DOUBLE] = ROW(double), [DT_INT8] = ROW(int8_t),
		[DT_INT16] = ROW(int16_t), [DT_INT32] = ROW(int32_t), [DT_INT64] = ROW(int64_t),
		[DT_UINT8] = ROW(uint8_t), [DT_UINT16] = ROW(uint16_t), [DT_UINT32] = ROW(uint32_t),
		[DT_UINT64] = ROW(uint64_t),
	};

	return rows[type][how - REDUCE_ADD];
}

/* ---- Shapes ---- */

/* Half types count as the float they are computed in. */
static enum tamis_status check_types(const struct op_call *c)
{
	const struct scatter_attr *a = c->node->attr;
	enum dtype type = c->in[0]->type;
	bool half = type == DT_FLOAT16 || type == DT_BFLOAT16;
	enum tamis_status status = args_movable(c, 0);

	if (!status)
		status = args_index_type(c, 1);
	if (!status && c->in[2]->type != type)
		return tm_fail(c->err, TAMIS_E_INVALID, "the updates must have type %s, as the data, not %s",
		               dtype_name((int)type), dtype_name((int)c->in[2]->type));
	if (!status && a->reduction != REDUCE_NONE && !half && !reducer(type, (enum reduction)a->reduction))
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "a reduction of elements of type %s is not supported",
		               dtype_name((int)type));
	return status;
}

static enum tamis_status scatter_elements_shape(struct op_call *c)
{
	const struct scatter_attr *a = c->node->attr;
	const struct tensor *x = c->in[0], *index = c->in[1];
	int axis = 0;
	enum tamis_status status = check_types(c);

	if (!status)
		status = args_axis(c->err, a->axis, x->rank, &axis);
	if (status)
		return status;
	if (index->rank != x->rank || !tensor_same_shape(index, c->in[2]))
		return tm_fail(c->err, TAMIS_E_INVALID,
		               "indices and updates must have one shape, of rank %d as the data", x->rank);
	for (int i = 0; i < x->rank; i++)
		if (i != axis && index->dims[i] > x->dims[i])
			return tm_fail(c->err, TAMIS_E_INVALID,
			               "axis %d of the indices is %lld long but the data have %lld", i,
			               (long long)index->dims[i], (long long)x->dims[i]);
	return op_set_like(c, 0, x->type, x);
}

/* The updates are what the rows of indices leave open: indices.dims[:-1] and then the data's last axes. */
static enum tamis_status scatter_nd_shape(struct op_call *c)
{
	const struct tensor *x = c->in[0], *index = c->in[1], *updates = c->in[2];
	int64_t width;
	int rows;
	bool fits;
	enum tamis_status status = check_types(c);

	if (status)
		return status;
	if (x->rank < 1 || index->rank < 1)
		return tm_fail(c->err, TAMIS_E_INVALID, "data and indices must have rank 1 at least");
	rows = index->rank - 1;
	width = index->dims[rows];
	if (width < 1 || width > x->rank)
		return tm_fail(c->err, TAMIS_E_INVALID,
		               "the last axis of the indices is %lld long; 1 to %d are possible", (long long)width,
		               x->rank);
	fits = updates->rank == rows + x->rank - (int)width;
	for (int i = 0; fits && i < updates->rank; i++)
		fits = updates->dims[i] == (i < rows ? index->dims[i] : x->dims[i - rows + (int)width]);
	if (!fits)
		return tm_fail(c->err, TAMIS_E_INVALID,
		               "the shape of the updates does not follow from data and indices");
	return op_set_like(c, 0, x->type, x);
}

/* ---- Running ---- */

static enum tamis_status elements_offsets(struct op_call *c, struct blocks *b)
{
	const struct scatter_attr *a = c->node->attr;
	int64_t axis = a->axis < 0 ? a->axis + c->in[0]->rank : a->axis;

	return offsets_of_elements(c, c->in[0], c->in[1], (int)axis, b);
}

static enum tamis_status rows_offsets(struct op_call *c, struct blocks *b)
{
	return offsets_of_rows(c, c->in[0], c->in[1], 0, b);
}

static enum tamis_status scatter_by(struct op_call *c, offsets_fn *offsets)
{
	const struct scatter_attr *a = c->node->attr;
	const struct tensor *x = c->in[0], *updates = c->in[2];
	struct blocks b;
	enum tamis_status status;

	if (!c->out[0] || x->count == 0)
		return TAMIS_OK;
	if (c->out[0]->data != x->data)
		memcpy(c->out[0]->data, x->data, tensor_bytes(x));
	if (updates->count == 0)
		return TAMIS_OK;
	status = offsets(c, &b);
	if (status)
		return status;
	if (a->reduction == REDUCE_NONE)
		blocks_scatter(&b, args_element(x->type), updates->data, c->out[0]->data);
	else
		reducer(x->type, (enum reduction)a->reduction)(&b, updates->data, c->out[0]->data);
	return TAMIS_OK;
}

/* ---- Gradient: the updates undone one by one, last first ---- */

/* Update y met x: *gy takes its share of the gradient *g and x keeps the rest. A tie of min or max goes to
 * x, which came first. */
static void undo(enum reduction how, double x, double y, double *g, double *gy)
{
	switch (how) {
	case REDUCE_NONE:
		*gy = *g;
		*g = 0;
		break;
	case REDUCE_ADD:
		*gy = *g;
		break;
	case REDUCE_MUL:
		*gy = *g * x;
		*g *= y;
		break;
	case REDUCE_MIN:
	case REDUCE_MAX:
		*gy = (how == REDUCE_MIN ? y < x : y > x) ? *g : 0;
		*g -= *gy;
		break;
	}
}

static double redo(enum reduction how, double x, double y)
{
	switch (how) {
	case REDUCE_NONE: return y;
	case REDUCE_ADD: return x + y;
	case REDUCE_MUL: return x * y;
	case REDUCE_MIN: return y < x ? y : x;
	default: return y > x ? y : x;
	}
}

/* The value that each update element met, in `before`; `value` starts as the data and ends as the output. */
static void replay(const struct blocks *b, enum reduction how, const struct tensor *updates, double *value,
                   double *before)
{
	for (int64_t k = 0; k < b->n; k++)
		for (int64_t i = 0; i < b->length; i++) {
			double *x = &value[b->offset[k] + i];

			before[k * b->length + i] = *x;
			*x = redo(how, *x, tensor_get(updates, k * b->length + i));
		}
}

static void add_value(struct tensor *t, int64_t i, double v)
{
	if (t->type == DT_FLOAT)
		((float *)t->data)[i] += (float)v;
	else
		((double *)t->data)[i] += v;
}

/* grad is the output's gradient on entry and the data's on return. */
static void unwind(const struct blocks *b, enum reduction how, const struct tensor *updates,
                   const double *before, double *grad, struct tensor *gupdates)
{
	for (int64_t k = b->n - 1; k >= 0; k--)
		for (int64_t i = 0; i < b->length; i++) {
			int64_t at = k * b->length + i;
			double gy = 0;

			undo(how, before[at], tensor_get(updates, at), &grad[b->offset[k] + i], &gy);
			if (gupdates)
				add_value(gupdates, at, gy);
		}
}

static enum tamis_status scatter_back(struct op_grad *g, offsets_fn *offsets)
{
	struct op_call *c = g->call;
	const struct scatter_attr *a = c->node->attr;
	const struct tensor *gy = g->gout[0];
	int64_t n = c->in[0]->count, m = c->in[2]->count;
	double *value, *before, *grad;
	struct blocks b = {0};
	enum tamis_status status;

	if (!gy || n == 0 || (!g->gin[0] && !g->gin[2]))
		return TAMIS_OK;
	value = scratch_alloc(c->scratch, (size_t)n, sizeof *value);
	grad = scratch_alloc(c->scratch, (size_t)n, sizeof *grad);
	before = scratch_alloc(c->scratch, (size_t)m + 1, sizeof *before);
	if (!value || !grad || !before)
		return tm_no_memory(c->err, "reversing a scatter");
	status = m ? offsets(c, &b) : TAMIS_OK;
	if (status)
		return status;
	for (int64_t i = 0; i < n; i++) {
		value[i] = tensor_get(c->in[0], i);
		grad[i] = tensor_get(gy, i);
	}
	replay(&b, (enum reduction)a->reduction, c->in[2], value, before);
	unwind(&b, (enum reduction)a->reduction, c->in[2], before, grad, g->gin[2]);
	for (int64_t i = 0; g->gin[0] && i < n; i++)
		add_value(g->gin[0], i, grad[i]);
	return TAMIS_OK;
}

static enum tamis_status scatter_elements_run(struct op_call *c)
{
	return scatter_by(c, elements_offsets);
}

static enum tamis_status scatter_elements_reverse(struct op_grad *g)
{
	return scatter_back(g, elements_offsets);
}

static enum tamis_status scatter_nd_run(struct op_call *c)
{
	return scatter_by(c, rows_offsets);
}

static enum tamis_status scatter_nd_reverse(struct op_grad *g)
{
	return scatter_back(g, rows_offsets);
}

#define SCATTER .domain = "", .min_in = 3, .max_in = 3, .min_out = 1, .max_out = 1, .parse = scatter_parse

/* Reductions came with opset 16; before it elements are only moved. */
const struct op ops_scatter[] = {
	{.name = "Scatter", .since = 9, .until = 10, SCATTER, .flags = OP_ANY_BITS | OP_INPLACE,
	 .shape = scatter_elements_shape, .run = scatter_elements_run, .reverse = scatter_elements_reverse},
	{.name = "ScatterElements", .since = 11, .until = 15, SCATTER, .flags = OP_ANY_BITS | OP_INPLACE,
	 .shape = scatter_elements_shape, .run = scatter_elements_run, .reverse = scatter_elements_reverse},
	{.name = "ScatterElements", .since = 16, .until = OP_LATEST, SCATTER, .flags = OP_INPLACE,
	 .shape = scatter_elements_shape, .run = scatter_elements_run, .reverse = scatter_elements_reverse},
	{.name = "ScatterND", .since = 11, .until = 15, SCATTER, .flags = OP_ANY_BITS | OP_INPLACE,
	 .shape = scatter_nd_shape, .run = scatter_nd_run, .reverse = scatter_nd_reverse},
	{.name = "ScatterND", .since = 16, .until = OP_LATEST, SCATTER, .flags = OP_INPLACE,
	 .shape = scatter_nd_shape, .run = scatter_nd_run, .reverse = scatter_nd_reverse},
	{0},
};
