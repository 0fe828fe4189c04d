/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/row_linear.h"

#include <string.h>

#include "base/error.h"
#include "ops/window_sums.h"

static int64_t rows_an_item(const struct op_call *c, const struct linear_view *v, int64_t items)
{
	int64_t rows = c->in[v->data]->count / v->fan_in;

	return items > 0 && rows % items == 0 ? rows / items : 0;
}

int64_t row_linear_positions(const struct op_call *c, const struct linear_view *v, int64_t items)
{
	return rows_an_item(c, v, items);
}

/* Row `row` of a packed float or double tensor as `n` floats. */
static void copy_row(const struct tensor *t, int64_t row, int64_t n, float *to)
{
	const double *d = t->data;

	if (t->type == DT_FLOAT)
		memcpy(to, (const float *)t->data + row * n, (size_t)n * sizeof *to);
	else
		for (int64_t i = 0; i < n; i++)
			to[i] = (float)d[row * n + i];
}

static void copy_rows(const struct tensor *t, int64_t each, int64_t n, int64_t items, const int64_t *pos,
                      int64_t n_pos, float *to)
{
	for (int64_t i = 0; i < items; i++)
		for (int64_t p = 0; p < n_pos; p++, to += n)
			copy_row(t, i * each + pos[p], n, to);
}

enum tamis_status row_linear_gather(const struct op_call *c, const struct linear_view *v, int64_t items,
                                    const int64_t *pos, int64_t n_pos, float *u)
{
	copy_rows(c->in[v->data], rows_an_item(c, v, items), v->fan_in, items, pos, n_pos, u);
	return TAMIS_OK;
}

enum tamis_status row_linear_sums(const struct op_call *c, const struct linear_view *v, int64_t items, double *sum,
                                  double *square)
{
	const struct tensor *x = c->in[v->data];
	int64_t rows = x->count / v->fan_in;
	float *copy;

	(void)items;
	if (x->type == DT_FLOAT) {
		column_sums(x->data, rows, v->fan_in, sum, square);
		return TAMIS_OK;
	}
	copy = scratch_alloc(c->scratch, (size_t)v->fan_in, sizeof *copy);
	if (!copy)
		return tm_no_memory(c->err, "adding up signals");
	for (int64_t i = 0; i < rows; i++) {
		copy_row(x, i, v->fan_in, copy);
		column_sums(copy, 1, v->fan_in, sum, square);
	}
	return TAMIS_OK;
}

enum tamis_status row_linear_gather_out(const struct op_call *c, const struct linear_view *v,
                                        const struct tensor *z, int64_t items, const int64_t *pos,
                                        int64_t n_pos, float *out)
{
	copy_rows(z, rows_an_item(c, v, items), v->outs, items, pos, n_pos, out);
	return TAMIS_OK;
}
