/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "ops/pool.h"

#define IS_NAN(v) ((v) != (v))
#define LOWEST -INFINITY
#define T float
#define NAME(x) x##_float
#include "ops/pool_max.inc"
#include "ops/pool_max_back.inc"
#undef T
#undef NAME
#define T double
#define NAME(x) x##_double
#include "ops/pool_max.inc"
#include "ops/pool_max_back.inc"
#undef T
#undef NAME
#undef IS_NAN
#undef LOWEST

#define IS_NAN(v) false
#define LOWEST INT8_MIN
#define T int8_t
#define NAME(x) x##_int8
#include "ops/pool_max.inc"
#undef T
#undef NAME
#undef LOWEST
#define LOWEST 0
#define T uint8_t
#define NAME(x) x##_uint8
#include "ops/pool_max.inc"
#undef T
#undef NAME

static void max_plane(const struct pooling *p, const struct tensor *x, struct tensor *y, int64_t plane)
{
	int64_t from = plane * p->win.in_size, to = plane * p->win.out_size;

	switch (x->type) {
	case DT_FLOAT: max_plane_float(&p->win, p->spans, (float *)x->data + from, (float *)y->data + to); break;
	case DT_DOUBLE: max_plane_double(&p->win, p->spans, (double *)x->data + from, (double *)y->data + to); break;
	case DT_INT8: max_plane_int8(&p->win, p->spans, (int8_t *)x->data + from, (int8_t *)y->data + to); break;
	default: max_plane_uint8(&p->win, p->spans, (uint8_t *)x->data + from, (uint8_t *)y->data + to); break;
	}
}

static void find_plane(const struct pooling *p, const struct tensor *x, int64_t plane, int64_t *index)
{
	int64_t from = plane * p->win.in_size;

	switch (x->type) {
	case DT_FLOAT: find_plane_float(&p->win, p->spans, (float *)x->data + from, index); break;
	case DT_DOUBLE: find_plane_double(&p->win, p->spans, (double *)x->data + from, index); break;
	case DT_INT8: find_plane_int8(&p->win, p->spans, (int8_t *)x->data + from, index); break;
	default: find_plane_uint8(&p->win, p->spans, (uint8_t *)x->data + from, index); break;
	}
}

/* From an element of one plane to its number in the whole input, first axis fastest when `column_major`. */
static int64_t numbered(const struct window *w, int64_t plane, int64_t at, bool column_major)
{
	int64_t z = at / w->in[2] / w->in[1], y = at / w->in[2] % w->in[1], x = at % w->in[2];

	if (at < 0)
		return -1;
	return plane * w->in_size + (column_major ? (x * w->in[1] + y) * w->in[0] + z : at);
}

static void back_float(const struct op_grad *g, const struct pooling *p, int64_t plane, float *left)
{
	int64_t in = plane * p->win.in_size, out = plane * p->win.out_size;

	back_plane_float(&p->win, p->spans, (float *)g->call->in[0]->data + in, (float *)g->call->out[0]->data + out,
	                 (float *)g->gout[0]->data + out, left, (float *)g->gin[0]->data + in);
}

static void back_double(const struct op_grad *g, const struct pooling *p, int64_t plane, double *left)
{
	int64_t in = plane * p->win.in_size, out = plane * p->win.out_size;

	back_plane_double(&p->win, p->spans, (double *)g->call->in[0]->data + in, (double *)g->call->out[0]->data + out,
	                  (double *)g->gout[0]->data + out, left, (double *)g->gin[0]->data + in);
}

enum tamis_status pool_run_max(struct op_call *call, const struct pooling *p)
{
	const struct pool_attr *a = call->node->attr;
	struct tensor *y = call->out[0], *indices = call->n_out > 1 ? call->out[1] : NULL;

	for (int64_t i = 0; i < p->planes; i++) {
		int64_t *index = indices ? (int64_t *)indices->data + i * p->win.out_size : NULL;

		if (y)
			max_plane(p, call->in[0], y, i);
		if (index)
			find_plane(p, call->in[0], i, index);
		for (int64_t o = 0; index && o < p->win.out_size; o++)
			index[o] = numbered(&p->win, i, index[o], a && a->column_major);
	}
	return TAMIS_OK;
}

enum tamis_status pool_reverse_max(const struct op_grad *g, const struct pooling *p)
{
	struct tensor *gx = g->gin[0];
	void *left = scratch_alloc(g->call->scratch, (size_t)p->win.out[2], gx->type == DT_FLOAT ? sizeof(float) : sizeof(double));

	if (!left)
		return tm_no_memory(g->call->err, "pooling in reverse");
	for (int64_t i = 0; i < p->planes; i++)
		if (gx->type == DT_FLOAT)
			back_float(g, p, i, left);
		else
			back_double(g, p, i, left);
	return TAMIS_OK;
}
