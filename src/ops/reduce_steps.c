/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/reduce.h"

#include <string.h>

#include "base/checked.h"
#include "ops/args.h"

struct reduce_attr {
	bool keepdims, noop;
	int n; /* axes of the attribute; 0 = none */
	int64_t axes[TENSOR_MAX_RANK];
};

static enum tamis_status parse_axes(struct op_parse *p, struct reduce_attr *a)
{
	const int64_t *axes;
	int n;
	enum tamis_status status = attr_ints(p, "axes", &axes, &n);

	if (status != TAMIS_OK || n <= 0)
		return status;
	if (n > TENSOR_MAX_RANK)
		return tm_fail(p->err, TAMIS_E_INVALID, "axes lists %d axes; a tensor has at most %d", n,
		               TENSOR_MAX_RANK);
	a->n = n;
	for (int i = 0; i < n; i++)
		a->axes[i] = axes[i];
	return TAMIS_OK;
}

enum tamis_status reduce_parse(struct op_parse *p, void **attr)
{
	struct reduce_attr *a = args_alloc(p, sizeof *a);
	enum tamis_status status;

	if (!a)
		return TAMIS_E_MEMORY;
	*attr = a;
	status = attr_bool(p, "keepdims", true, &a->keepdims);
	if (status == TAMIS_OK && p->node->op->max_in == 2)
		return attr_bool(p, "noop_with_empty_axes", false, &a->noop);
	return status == TAMIS_OK ? parse_axes(p, a) : status;
}

/* Marks the reduced axes. */
static enum tamis_status mark_axes(const struct op_call *c, struct reduction *r)
{
	const struct reduce_attr *a = c->node->attr;
	int64_t axes[TENSOR_MAX_RANK];
	int n = a->n, rank = op_in(c, 0)->rank;
	enum tamis_status status = TAMIS_OK;

	memcpy(axes, a->axes, sizeof axes);
	if (op_in(c, 1))
		status = args_ints(c, 1, "the list of axes", TENSOR_MAX_RANK, axes, &n);
	if (status == TAMIS_OK)
		status = args_axes(c->err, axes, n, rank);
	for (int i = 0; status == TAMIS_OK && i < rank; i++)
		r->axis[i] = n == 0 && !a->noop;
	for (int i = 0; status == TAMIS_OK && i < n; i++)
		r->axis[axes[i]] = true;
	return status;
}

enum tamis_status reduce_plan(const struct op_call *c, struct reduction *r)
{
	const struct tensor *x = op_in(c, 0);
	int64_t dims[TENSOR_MAX_RANK], reduced[TENSOR_MAX_RANK];
	enum tamis_status status = mark_axes(c, r);

	if (status != TAMIS_OK)
		return status;
	for (int i = 0; i < x->rank; i++) {
		dims[i] = r->axis[i] ? 1 : x->dims[i];
		reduced[i] = r->axis[i] ? x->dims[i] : 1;
	}
	if (!tm_product(reduced, x->rank, &r->count))
		return tm_fail(c->err, TAMIS_E_INVALID, "the number of reduced elements overflows");
	r->kept = (struct tensor){0};
	return tensor_shape(&r->kept, x->type, x->rank, dims, c->err);
}

enum tamis_status reduce_shape(struct op_call *c, const struct reduce *r)
{
	const struct reduce_attr *a = c->node->attr;
	const struct tensor *x = op_in(c, 0);
	bool half = x->type == DT_FLOAT16 || x->type == DT_BFLOAT16;
	struct reduction plan = {0};
	int64_t dims[TENSOR_MAX_RANK];
	int rank = 0;
	enum tamis_status status;

	if (!r->by[half ? DT_FLOAT : x->type].start)
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "%s does not take elements of type %s", c->node->op->name,
		               dtype_name((int)x->type));
	if (op_in(c, 1) && !op_needs(c, 1))
		return TAMIS_OK;
	status = reduce_plan(c, &plan);
	if (status != TAMIS_OK)
		return status;
	for (int i = 0; i < x->rank; i++)
		if (a->keepdims || !plan.axis[i])
			dims[rank++] = plan.kept.dims[i];
	return op_set_out(c, 0, x->type, rank, dims);
}

enum tamis_status reduce_run(struct op_call *c, const struct reduce *r)
{
	const struct tensor *x = op_in(c, 0);
	const struct reducer *kernel = &r->by[x->type];
	int64_t size = dtype_bits((int)x->type) / 8;
	struct reduction plan = {0};
	const struct tensor *in[] = {&plan.kept};
	struct broadcast w;
	enum tamis_status status = reduce_plan(c, &plan);
	char *acc = scratch_alloc(c->scratch, (size_t)c->out[0]->count, 8);

	if (status != TAMIS_OK)
		return status;
	if (!acc)
		return tm_no_memory(c->err, "reducing");
	kernel->start(acc, plan.kept.count);
	for (bool more = broadcast_start(&w, x, in, 1); more; more = broadcast_next(&w))
		kernel->row((const char *)x->data + w.out * size, w.row, acc + w.at[0] * 8, w.step[0]);
	kernel->finish(acc, c->out[0]->data, plan.kept.count, plan.count);
	return TAMIS_OK;
}

enum tamis_status reduce_reverse(struct op_grad *g, const struct reduce *r)
{
	const struct tensor *x = op_in(g->call, 0);
	int64_t size = dtype_bits((int)x->type) / 8;
	struct reduction plan = {0};
	const struct tensor *in[] = {&plan.kept};
	struct broadcast w;
	enum tamis_status status;

	if (!g->gout[0] || !g->gin[0] || !r->by[x->type].slope)
		return TAMIS_OK;
	status = reduce_plan(g->call, &plan);
	if (status != TAMIS_OK)
		return status;
	for (bool more = broadcast_start(&w, x, in, 1); more; more = broadcast_next(&w))
		r->by[x->type].slope((const char *)x->data + w.out * size,
		                     (const char *)g->call->out[0]->data + w.at[0] * size,
		                     (const char *)g->gout[0]->data + w.at[0] * size, w.step[0], plan.count,
		                     (char *)g->gin[0]->data + w.out * size, w.row);
	return TAMIS_OK;
}

struct cut cut_at(const struct tensor *t, int axis)
{
	return (struct cut){tensor_extent(t, 0, axis), t->dims[axis], tensor_extent(t, axis + 1, t->rank)};
}

void reduce_channels(struct channel_call *c)
{
	struct tamis_error ignored = {0};
	const struct op_call call = channels_shapes(c, &ignored);
	const struct tensor *x = c->in[0], *y = c->out[0];
	struct reduction r;
	int to = 0;

	if (!y || (c->n_in > 1 && c->in[1] && !c->in[1]->data) || reduce_plan(&call, &r) != TAMIS_OK) {
		channels_keep_all(c, "the reduced axes are not known");
		return;
	}
	for (int k = 0; k < x->rank; k++) {
		if (r.axis[k])
			channels_keep(c, 0, k, "it is reduced to one number");
		else
			channels_tie(c, 0, k, COUPLING_OUT(0), to);
		to += !r.axis[k] || y->rank == x->rank;
	}
}
