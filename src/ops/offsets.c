/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/offsets.h"

#include "ops/args.h"

/* Steps an odometer over the first `rank` axes of dims; returns the axis that advanced, -1 after the last
 * step. */
static int step(int64_t *at, const int64_t *dims, int rank)
{
	for (int i = rank - 1; i >= 0; i--) {
		if (++at[i] < dims[i])
			return i;
		at[i] = 0;
	}
	return -1;
}

static int64_t place(const int64_t *at, const int64_t *strides, int rank, int skip)
{
	int64_t sum = 0;

	for (int i = 0; i < rank; i++)
		sum += i == skip ? 0 : at[i] * strides[i];
	return sum;
}

enum tamis_status offsets_of_elements(struct op_call *c, const struct tensor *data,
                                      const struct tensor *index, int axis, struct blocks *b)
{
	int last = index->rank - 1;
	int64_t strides[TENSOR_MAX_RANK], at[TENSOR_MAX_RANK] = {0}, k = 0;
	int64_t row = index->dims[last], along = axis == last ? 0 : 1;
	enum tamis_status status = blocks_make(c, b, index->count, 1);

	if (status || index->count == 0)
		return status;
	args_strides(data->rank, data->dims, strides);
	do {
		int64_t base = place(at, strides, last, axis);

		for (int64_t i = 0; i < row; i++, k++) {
			int64_t value = tensor_get_int(index, k);

			status = blocks_index(c->err, &value, data->dims[axis]);
			if (status)
				return status;
			b->offset[k] = base + value * strides[axis] + i * along;
		}
	} while (step(at, index->dims, last) >= 0);
	return TAMIS_OK;
}

enum tamis_status offsets_of_rows(struct op_call *c, const struct tensor *data, const struct tensor *index,
                                  int batch, struct blocks *b)
{
	int last = index->rank - 1;
	int64_t width = index->dims[last], rows = tensor_extent(index, 0, last);
	int64_t batches = tensor_extent(data, 0, batch), strides[TENSOR_MAX_RANK];
	int64_t whole = tensor_extent(data, batch, data->rank);
	enum tamis_status status = blocks_make(c, b, rows, tensor_extent(data, batch + (int)width, data->rank));

	if (status)
		return status;
	args_strides(data->rank, data->dims, strides);
	for (int64_t k = 0; k < rows; k++) {
		b->offset[k] = k / (rows / batches) * whole;
		for (int64_t i = 0; i < width; i++) {
			int64_t value = tensor_get_int(index, k * width + i);

			status = blocks_index(c->err, &value, data->dims[batch + i]);
			if (status)
				return status;
			b->offset[k] += value * strides[batch + i];
		}
	}
	return TAMIS_OK;
}
