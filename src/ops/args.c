/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/args.h"

#include <string.h>

void *args_alloc(struct op_parse *p, size_t size)
{
	void *attr = arena_alloc(p->arena, size);

	if (!attr)
		tm_no_memory(p->err, "reading attributes");
	return attr;
}

size_t args_element(enum dtype type)
{
	int bits = dtype_bits((int)type);

	if (type == DT_STRING)
		return sizeof(struct tm_string);
	return bits % 8 ? 0 : (size_t)bits / 8;
}

enum tamis_status args_movable(const struct op_call *c, int i)
{
	const struct tensor *t = op_in(c, i);

	if (!t || args_element(t->type))
		return TAMIS_OK;
	return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "input %d has type %s, which is not supported here", i,
	               dtype_name((int)t->type));
}

enum tamis_status args_index_type(const struct op_call *c, int i)
{
	enum dtype type = c->in[i]->type;

	if (type == DT_INT32 || type == DT_INT64)
		return TAMIS_OK;
	return tm_fail(c->err, TAMIS_E_INVALID, "input %d must be int32 or int64, not %s", i,
	               dtype_name((int)type));
}

enum tamis_status args_axis(struct tamis_error *err, int64_t axis, int rank, int *out)
{
	if (axis < -rank || axis >= rank)
		return tm_fail(err, TAMIS_E_INVALID, "axis %lld is outside a tensor of rank %d",
		               (long long)axis, rank);
	*out = (int)(axis < 0 ? axis + rank : axis);
	return TAMIS_OK;
}

enum tamis_status args_ints(const struct op_call *c, int i, const char *what, int max, int64_t *values,
                            int *n)
{
	const struct tensor *t = c->in[i];

	if ((t->type != DT_INT64 && t->type != DT_INT32) || t->rank > 1)
		return tm_fail(c->err, TAMIS_E_INVALID, "%s must be a vector of int32 or int64, not %s of rank %d",
		               what, dtype_name((int)t->type), t->rank);
	if (t->count > max)
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "%s has %lld elements; at most %d are supported", what,
		               (long long)t->count, max);
	*n = (int)t->count;
	for (int k = 0; k < *n; k++)
		values[k] = tensor_get_int(t, k);
	return TAMIS_OK;
}

enum tamis_status args_int(const struct op_call *c, int i, const char *what, int64_t *value)
{
	const struct tensor *t = c->in[i];

	if (!dtype_is_integer((int)t->type) || t->rank > 1 || t->count != 1)
		return tm_fail(c->err, TAMIS_E_INVALID, "%s must be one integer, not %lld elements of %s", what,
		               (long long)t->count, dtype_name((int)t->type));
	*value = tensor_get_int(t, 0);
	return TAMIS_OK;
}

enum tamis_status args_axes(struct tamis_error *err, int64_t *axes, int n, int rank)
{
	uint64_t seen = 0;

	for (int k = 0; k < n; k++) {
		int axis = 0;
		enum tamis_status status = args_axis(err, axes[k], rank, &axis);

		if (status)
			return status;
		if (seen >> axis & 1)
			return tm_fail(err, TAMIS_E_INVALID, "axis %d is listed twice", axis);
		seen |= (uint64_t)1 << axis;
		axes[k] = axis;
	}
	return TAMIS_OK;
}

void args_strides(int rank, const int64_t *dims, int64_t *strides)
{
	int64_t stride = 1;

	for (int i = 0; i < rank; i++)
		if (dims[i] == 0)
			stride = 0;
	for (int i = rank - 1; i >= 0; i--) {
		strides[i] = stride;
		stride *= dims[i];
	}
}
