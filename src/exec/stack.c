/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/stack.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "graph/graph.h"

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "stacking the values of a body");
}

/* Elements below a byte do not start where a slice does. */
static enum tamis_status whole_bytes(const struct tensor *t, struct tamis_error *err)
{
	struct tensor two = { .type = t->type, .count = 2 };
	struct tensor one = { .type = t->type, .count = 1 };

	if (tensor_bytes(&two) == 2 * tensor_bytes(&one))
		return TAMIS_OK;
	return tm_fail(err, TAMIS_E_UNSUPPORTED, "bodies that stack or read slices of %s are not supported",
	               dtype_name((int)t->type));
}

static size_t element(const struct tensor *t)
{
	struct tensor one = { .type = t->type, .count = 1 };

	return tensor_bytes(&one);
}

enum tamis_status stack_push(struct stacked *s, const struct tensor *t, uint64_t max_bytes, struct tamis_error *err)
{
	size_t bytes = tensor_bytes(t), total;
	char had[128], got[128];
	enum tamis_status status = whole_bytes(t, err);

	if (status != TAMIS_OK)
		return status;
	if (!s->count) {
		s->one = *t;
		s->one.data = NULL;
	}
	if (s->one.type != t->type || !tensor_same_shape(&s->one, t))
		return tm_fail(err, TAMIS_E_INVALID, "a body gave %s after %s, and such cannot be stacked",
		               tensor_describe(t, got, sizeof got), tensor_describe(&s->one, had, sizeof had));
	if (!tm_mul((size_t)s->count + 1, bytes, &total) || total > max_bytes)
		return tm_fail(err, TAMIS_E_MEMORY, "the values that a body gave take more than %" PRIu64
		               " bytes, the limit on memory", max_bytes);
	if (!tm_grow((void **)&s->data, &s->cap, total ? total : 1, 1))
		return no_memory(err);
	if (bytes)
		memcpy(s->data + (size_t)s->count * bytes, t->data, bytes);
	s->count++;
	return TAMIS_OK;
}

enum tamis_status stack_declare(struct stacked *s, const struct value_type *declared, struct tamis_error *err)
{
	enum dtype type = declared->type == DT_UNDEFINED ? DT_FLOAT : declared->type;
	int rank = declared->rank < 0 ? 0 : declared->rank;
	int64_t dims[TENSOR_MAX_RANK];

	for (int i = 0; i < rank; i++)
		dims[i] = declared->dims[i] < 0 ? 0 : declared->dims[i];
	return tensor_shape(&s->one, type, rank, dims, err);
}

/* out[outer][count][inner] from data[count][outer][inner]. */
static void spread(const struct stacked *s, int axis, bool back, struct tensor *out)
{
	size_t inner = (size_t)tensor_extent(&s->one, axis, s->one.rank) * element(&s->one);
	size_t outer = (size_t)tensor_extent(&s->one, 0, axis);
	unsigned char *to = out->data;

	for (size_t o = 0; inner && o < outer; o++)
		for (int64_t i = 0; i < s->count; i++) {
			size_t from = (size_t)(back ? s->count - 1 - i : i);

			memcpy(to, s->data + (from * outer + o) * inner, inner);
			to += inner;
		}
}

enum tamis_status stack_finish(const struct stacked *s, int64_t axis, bool back, struct tensor *out,
                               struct tamis_error *err)
{
	int64_t dims[TENSOR_MAX_RANK];
	int rank = s->one.rank + 1;
	enum tamis_status status;

	if (axis < -rank || axis >= rank || rank > TENSOR_MAX_RANK)
		return tm_fail(err, TAMIS_E_INVALID, "values of rank %d cannot be stacked along axis %" PRId64, s->one.rank,
		               axis);
	axis += axis < 0 ? rank : 0;
	for (int i = 0, k = 0; i < rank; i++)
		dims[i] = i == axis ? s->count : s->one.dims[k++];
	status = tensor_shape(out, s->one.type, rank, dims, err);
	if (status == TAMIS_OK)
		status = tensor_alloc(out, err);
	if (status == TAMIS_OK)
		spread(s, (int)axis, back, out);
	return status;
}

void stack_free(struct stacked *s)
{
	free(s->data);
	*s = (struct stacked){ .count = 0 };
}

enum tamis_status slice_shape(struct tensor *slice, const struct tensor *t, int axis, struct tamis_error *err)
{
	int64_t dims[TENSOR_MAX_RANK];
	enum tamis_status s = whole_bytes(t, err);

	if (s != TAMIS_OK)
		return s;
	for (int i = 0, k = 0; i < t->rank; i++)
		if (i != axis)
			dims[k++] = t->dims[i];
	s = tensor_shape(slice, t->type, t->rank - 1, dims, err);
	return s == TAMIS_OK ? tensor_alloc(slice, err) : s;
}

void slice_read(struct tensor *slice, const struct tensor *t, int axis, int64_t at)
{
	size_t inner = (size_t)tensor_extent(t, axis + 1, t->rank) * element(t);
	size_t outer = (size_t)tensor_extent(t, 0, axis);
	const unsigned char *from = t->data;

	for (size_t o = 0; inner && o < outer; o++)
		memcpy((unsigned char *)slice->data + o * inner, from + (o * (size_t)t->dims[axis] + (size_t)at) * inner,
		       inner);
}

void slice_add(struct tensor *t, int axis, int64_t at, const struct tensor *slice)
{
	int64_t inner = tensor_extent(t, axis + 1, t->rank);

	for (int64_t i = 0; i < slice->count; i++) {
		int64_t to = (i / inner * t->dims[axis] + at) * inner + i % inner;

		tensor_set(t, to, tensor_get(t, to) + tensor_get(slice, i));
	}
}

void stack_cut(struct tensor *t, int64_t length)
{
	t->dims[0] = length;
	t->count = tensor_extent(t, 0, t->rank);
}

enum tamis_status stack_lengthen(struct tensor *t, int64_t length, uint64_t max_bytes, struct tamis_error *err)
{
	struct tensor longer = { .type = t->type };
	int64_t dims[TENSOR_MAX_RANK];
	enum tamis_status s;

	if (t->dims[0] >= length)
		return TAMIS_OK;
	memcpy(dims, t->dims, sizeof dims);
	dims[0] = length;
	s = tensor_shape(&longer, t->type, t->rank, dims, err);
	if (s == TAMIS_OK && tensor_bytes(&longer) > max_bytes)
		s = tm_fail(err, TAMIS_E_MEMORY, "values along %" PRId64 " trips take more than %" PRIu64
		            " bytes, the limit on memory", length, max_bytes);
	if (s == TAMIS_OK)
		s = tensor_alloc(&longer, err);
	if (s != TAMIS_OK)
		return s;
	if (tensor_bytes(t))
		memcpy(longer.data, t->data, tensor_bytes(t));
	free(t->data);
	*t = longer;
	return TAMIS_OK;
}
