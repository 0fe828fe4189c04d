/* SPDX-License-Identifier: Apache-2.0 */
/* Unique: the different elements of a tensor, or slices along an axis, sorted or in the order of appearance.
 * */
#include <stdlib.h>
#include <string.h>

#include "ops/args.h"
#include "ops/family.h"
#include "ops/strided.h"

struct unique_attr {
	int64_t axis;
	bool has_axis, sorted;
};

static enum tamis_status unique_parse(struct op_parse *p, void **attr)
{
	struct unique_attr *a = *attr = args_alloc(p, sizeof *a);
	enum tamis_status s;

	if (!a)
		return TAMIS_E_MEMORY;
	a->has_axis = attr_has(p, "axis");
	s = attr_int(p, "axis", 0, &a->axis);
	return s ? s : attr_bool(p, "sorted", true, &a->sorted);
}

/* The data as [outer, n, inner]; a slice is one of n. */
struct slices {
	const struct tensor *x;
	int64_t outer, n, inner;
	int64_t *order;  /* slices in ascending order, equal ones by position */
	int64_t *class;  /* of each slice: the output slice it is */
	int64_t *first;  /* of each class */
	int64_t classes;
	int axis;
};

static int compare_elements(const struct tensor *x, int64_t i, int64_t j)
{
	if (x->type == DT_STRING) {
		const struct tm_string *a = (const struct tm_string *)x->data + i, *b =
			(const struct tm_string *)x->data + j;
		size_t n = a->len < b->len ? a->len : b->len;
		int c = n ? memcmp(a->data, b->data, n) : 0;

		return c ? c : (a->len > b->len) - (a->len < b->len);
	}
	if (x->type == DT_UINT64) {
		uint64_t a = ((const uint64_t *)x->data)[i], b = ((const uint64_t *)x->data)[j];

		return (a > b) - (a < b);
	}
	if (dtype_is_float((int)x->type)) {
		double a = tensor_get(x, i), b = tensor_get(x, j);

		if (a != a || b != b) /* NaN is last; all of them are different */
			return a != a && b != b ? (i > j) - (i < j) : (a != a) - (b != b);
		return (a > b) - (a < b);
	}
	return (tensor_get_int(x, i) > tensor_get_int(x, j)) - (tensor_get_int(x, i) < tensor_get_int(x, j));
}

static int compare_slices(const struct slices *s, int64_t a, int64_t b)
{
	for (int64_t o = 0; s->inner && o < s->outer; o++)
		for (int64_t i = 0; i < s->inner; i++) {
			int64_t base = o * s->n * s->inner + i;
			int c = compare_elements(s->x, base + a * s->inner, base + b * s->inner);

			if (c)
				return c;
		}
	return 0;
}

static int by_slice(const void *a, const void *b, void *ctx)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	int c = compare_slices(ctx, x, y);

	return c ? c : (x > y) - (x < y);
}

static int by_number(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* Classes in the order of appearance instead of that of value. */
static void by_appearance(struct slices *s)
{
	qsort(s->first, (size_t)s->classes, sizeof *s->first, by_number);
	for (int64_t k = 0; k < s->classes; k++)
		s->order[s->first[k]] = k; /* by slice from here on */
	for (int64_t k = 0; k < s->n; k++)
		s->class[k] = s->order[s->class[k]];
}

/* class[] first names the class's first slice, which is its least. */
static void classify(struct slices *s, bool sorted)
{
	for (int64_t k = 0; k < s->n; k++)
		s->order[k] = k;
	qsort_r(s->order, (size_t)s->n, sizeof *s->order, by_slice, s);
	s->classes = 0;
	for (int64_t k = 0; k < s->n; k++) {
		if (k == 0 || compare_slices(s, s->order[k - 1], s->order[k]) != 0)
			s->first[s->classes++] = s->order[k];
		s->class[s->order[k]] = sorted ? s->classes - 1 : s->first[s->classes - 1];
	}
	if (!sorted)
		by_appearance(s);
}

static enum tamis_status find_slices(const struct op_call *c, struct slices *s)
{
	const struct unique_attr *a = c->node->attr;
	const struct tensor *x = c->in[0];
	enum tamis_status status = TAMIS_OK;

	*s = (struct slices){.x = x, .outer = 1, .n = x->count, .inner = 1};
	if (a->has_axis)
		status = args_axis(c->err, a->axis, x->rank, &s->axis);
	if (status)
		return status;
	if (a->has_axis) {
		s->outer = tensor_extent(x, 0, s->axis);
		s->n = x->dims[s->axis];
		s->inner = tensor_extent(x, s->axis + 1, x->rank);
	}
	s->order = scratch_alloc(c->scratch, (size_t)s->n, sizeof *s->order);
	s->class = scratch_alloc(c->scratch, (size_t)s->n, sizeof *s->class);
	s->first = scratch_alloc(c->scratch, (size_t)s->n, sizeof *s->first);
	if (!s->order || !s->class || !s->first)
		return tm_no_memory(c->err, "finding unique elements");
	classify(s, a->sorted);
	return TAMIS_OK;
}

static enum tamis_status unique_shape(struct op_call *c)
{
	const struct unique_attr *a = c->node->attr;
	const struct tensor *x = c->in[0];
	int64_t dims[TENSOR_MAX_RANK];
	struct slices s;
	enum tamis_status status = args_movable(c, 0);

	if (!status && dtype_kind((int)x->type) == 'o')
		status = tm_fail(c->err, TAMIS_E_UNSUPPORTED, "Unique does not take elements of type %s",
		                 dtype_name((int)x->type));
	if (status || !op_needs(c, 0))
		return status;
	status = find_slices(c, &s);
	if (status)
		return status;
	memcpy(dims, x->dims, sizeof dims);
	dims[s.axis] = s.classes;
	status = a->has_axis ? op_set_out(c, 0, x->type, x->rank, dims) : op_set_out(c, 0, x->type, 1,
	                                                                             &s.classes);
	if (!status)
		status = op_set_out(c, 1, DT_INT64, 1, &s.classes);
	if (!status)
		status = op_set_out(c, 2, DT_INT64, 1, &s.n);
	return status ? status : op_set_out(c, 3, DT_INT64, 1, &s.classes);
}

static int64_t *output(const struct op_call *c, int i)
{
	return i < c->n_out && c->out[i] ? c->out[i]->data : NULL;
}

static void copy_slices(const struct slices *s, struct tensor *y)
{
	size_t size = args_element(y->type), row = (size_t)s->inner * size;

	for (int64_t o = 0; row && o < s->outer; o++)
		for (int64_t k = 0; k < s->classes; k++)
			memcpy((char *)y->data + (size_t)(o * s->classes + k) * row,
			       (const char *)s->x->data + (size_t)(o * s->n + s->first[k]) * row, row);
}

static enum tamis_status unique_run(struct op_call *c)
{
	int64_t *first = output(c, 1), *class = output(c, 2), *counts = output(c, 3);
	struct slices s;
	enum tamis_status status = find_slices(c, &s);

	if (status)
		return status;
	if (c->out[0])
		copy_slices(&s, c->out[0]);
	for (int64_t k = 0; k < s.classes; k++) {
		if (first)
			first[k] = s.first[k];
		if (counts)
			counts[k] = 0;
	}
	for (int64_t i = 0; i < s.n; i++) {
		if (class)
			class[i] = s.class[i];
		if (counts)
			counts[s.class[i]]++;
	}
	return TAMIS_OK;
}

/* Each class's gradient goes to the slice it was copied from. */
static enum tamis_status unique_reverse(struct op_grad *g)
{
	struct slices s;
	enum tamis_status status = find_slices(g->call, &s);

	if (status || !g->gout[0] || !g->gin[0])
		return status;
	for (int64_t o = 0; o < s.outer; o++)
		for (int64_t k = 0; k < s.classes; k++) {
			size_t size = args_element(g->gin[0]->type);
			struct strided row = {0};

			strided_axis(&row, s.inner, 1, 1);
			strided_add(&row, g->gin[0]->type,
			            (const char *)g->gout[0]->data + (size_t)((o * s.classes + k) * s.inner) * size,
			            (char *)g->gin[0]->data + (size_t)((o * s.n + s.first[k]) * s.inner) * size);
		}
	return TAMIS_OK;
}

const struct op ops_unique[] = {
	{.name = "Unique", .domain = "", .since = 11, .until = OP_LATEST, .min_in = 1, .max_in = 1, .min_out = 1,
	 .max_out = 4, .flags = OP_ANY_BITS, .parse = unique_parse, .shape = unique_shape, .run = unique_run,
	 .reverse = unique_reverse},
	{0},
};
