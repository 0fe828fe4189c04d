/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/broadcast.h"

#include <string.h>

/* Size of axis `axis` of a result of rank `rank`, as an operand sees it: 1 where it has no such axis. */
static int64_t size_at(const struct tensor *t, int rank, int axis)
{
	int own = axis - (rank - t->rank);

	return own < 0 ? 1 : t->dims[own];
}

enum tamis_status broadcast_shape(const struct tensor *const *in, int n, int *rank, int64_t *dims,
                                  struct tamis_error *err)
{
	*rank = 0;
	for (int i = 0; i < n; i++)
		*rank = in[i]->rank > *rank ? in[i]->rank : *rank;
	for (int axis = 0; axis < *rank; axis++) {
		dims[axis] = 1;
		for (int i = 0; i < n; i++) {
			int64_t size = size_at(in[i], *rank, axis);

			if (size == 1 || size == dims[axis])
				continue;
			if (dims[axis] != 1)
				return tm_fail(err, TAMIS_E_INVALID,
				               "the inputs do not broadcast: input %d has %lld elements along axis %d of the "
				               "result, an earlier one has %lld", i, (long long)size, axis,
				               (long long)dims[axis]);
			dims[axis] = size;
		}
	}
	return TAMIS_OK;
}

bool broadcast_fits(const struct tensor *from, const struct tensor *to)
{
	if (from->rank > to->rank)
		return false;
	for (int axis = to->rank - from->rank; axis < to->rank; axis++) {
		int64_t size = size_at(from, to->rank, axis);

		if (size != 1 && size != to->dims[axis])
			return false;
	}
	return true;
}

/* Whether axis `axis` continues the last axis of the walk: each operand keeps or keeps not moving along
 * both. */
static bool continues(const struct broadcast *w, const int64_t *moves, const int64_t *moved)
{
	for (int i = 0; i < w->n; i++)
		if (moves[i] != moved[i])
			return false;
	return true;
}

/* Merges the axes of the result, outermost first, into as few as possible; the last one becomes the row.
 * moves[i] is 1 where operand i has more than one element along the axis. */
static void collapse(struct broadcast *w, const struct tensor *result, const struct tensor *const *in)
{
	int64_t moved[BROADCAST_OPERANDS] = {0}, moves[BROADCAST_OPERANDS];

	for (int axis = 0; axis < result->rank; axis++) {
		if (result->dims[axis] == 1)
			continue;
		for (int i = 0; i < w->n; i++)
			moves[i] = size_at(in[i], result->rank, axis) != 1;
		if (w->rank > 0 && continues(w, moves, moved)) {
			w->dims[w->rank - 1] *= result->dims[axis];
			continue;
		}
		for (int i = 0; i < w->n; i++)
			w->stride[i][w->rank] = moved[i] = moves[i];
		w->dims[w->rank++] = result->dims[axis];
	}
}

bool broadcast_start(struct broadcast *w, const struct tensor *result, const struct tensor *const *in, int n)
{
	memset(w, 0, sizeof *w);
	w->n = n;
	w->row = 1;
	if (result->count == 0)
		return false;
	collapse(w, result, in);
	for (int i = 0; i < n; i++) {
		int64_t stride = 1;

		for (int axis = w->rank - 1; axis >= 0; axis--) {
			bool moves = w->stride[i][axis] != 0;

			w->stride[i][axis] = moves ? stride : 0;
			stride *= moves ? w->dims[axis] : 1;
		}
	}
	if (w->rank > 0) {
		w->row = w->dims[--w->rank];
		for (int i = 0; i < n; i++)
			w->step[i] = w->stride[i][w->rank];
	}
	return true;
}

bool broadcast_next(struct broadcast *w)
{
	w->out += w->row;
	for (int axis = w->rank - 1; axis >= 0; axis--) {
		w->index[axis]++;
		for (int i = 0; i < w->n; i++)
			w->at[i] += w->stride[i][axis];
		if (w->index[axis] < w->dims[axis])
			return true;
		w->index[axis] = 0;
		for (int i = 0; i < w->n; i++)
			w->at[i] -= w->stride[i][axis] * w->dims[axis];
	}
	return false;
}

/* Eight partial sums in double, so that the loop vectorises and rounding errors stay small. */
#define ROW_SUM(name, type) \
	static double name(const type *x, int64_t n) \
	{ \
		double lane[8] = {0}; \
		int64_t i = 0; \
 \
		for (; i + 8 <= n; i += 8) \
			for (int k = 0; k < 8; k++) \
				lane[k] += (double)x[i + k]; \
		for (int k = 0; i < n; i++, k++) \
			lane[k] += (double)x[i]; \
		return ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7])); \
	}
ROW_SUM(row_sum_float, float)
ROW_SUM(row_sum_double, double)

static void add_floats(const struct broadcast *w, const float *from, double factor, float *to)
{
	float f = (float)factor;

	if (w->step[0] == 0)
		*to += (float)(factor * row_sum_float(from, w->row));
	else
		for (int64_t i = 0; i < w->row; i++)
			to[i] += f * from[i];
}

static void add_doubles(const struct broadcast *w, const double *from, double factor, double *to)
{
	if (w->step[0] == 0)
		*to += factor * row_sum_double(from, w->row);
	else
		for (int64_t i = 0; i < w->row; i++)
			to[i] += factor * from[i];
}

void broadcast_add(const struct tensor *from, double factor, struct tensor *to)
{
	const struct tensor *in[] = {to};
	struct broadcast w;

	for (bool more = broadcast_start(&w, from, in, 1); more; more = broadcast_next(&w)) {
		if (to->type == DT_FLOAT)
			add_floats(&w, (const float *)from->data + w.out, factor, (float *)to->data + w.at[0]);
		else
			add_doubles(&w, (const double *)from->data + w.out, factor, (double *)to->data + w.at[0]);
	}
}

/* One element repeated n times: doubles the filled part until it is full. */
static void fill(unsigned char *to, const unsigned char *element, size_t size, size_t n)
{
	size_t total = size * n, done = size;

	memcpy(to, element, size);
	while (done < total) {
		size_t part = done < total - done ? done : total - done;

		memcpy(to + done, to, part);
		done += part;
	}
}

void broadcast_copy(const struct tensor *from, struct tensor *to)
{
	const struct tensor *in[] = {from};
	const unsigned char *source = from->data;
	unsigned char *target = to->data;
	size_t size = (size_t)dtype_bits((int)to->type) / 8;
	struct broadcast w;

	if (source == target)
		return;
	for (bool more = broadcast_start(&w, to, in, 1); more; more = broadcast_next(&w)) {
		const unsigned char *row = source + (size_t)w.at[0] * size;

		if (w.step[0])
			memcpy(target + (size_t)w.out * size, row, (size_t)w.row * size);
		else
			fill(target + (size_t)w.out * size, row, size, (size_t)w.row);
	}
}
