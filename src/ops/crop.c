/* SPDX-License-Identifier: Apache-2.0 */
/* Windows of one tensor in another: CenterCropPad and TensorScatter. */
#include <string.h>

#include "ops/args.h"
#include "ops/family.h"
#include "ops/strided.h"

/* ---- CenterCropPad ---- */

struct crop_attr { const int64_t *axes; int n; /* -1: all axes */ };

static enum tamis_status crop_parse(struct op_parse *p, void **attr)
{
	struct crop_attr *a = *attr = args_alloc(p, sizeof *a);

	return a ? attr_ints(p, "axes", &a->axes, &a->n) : TAMIS_E_MEMORY;
}

static enum tamis_status crop_dims(const struct op_call *c, int64_t *dims)
{
	const struct crop_attr *a = c->node->attr;
	const struct tensor *x = c->in[0];
	int64_t axes[TENSOR_MAX_RANK], sizes[TENSOR_MAX_RANK];
	int n = 0, count = a->n < 0 ? x->rank : a->n;
	enum tamis_status s = args_ints(c, 1, "the shape of CenterCropPad", TENSOR_MAX_RANK, sizes, &n);

	if (!s && n != count)
		s = tm_fail(c->err, TAMIS_E_INVALID, "the shape has %d elements for %d axes", n, count);
	for (int i = 0; !s && i < n; i++)
		axes[i] = a->n < 0 ? i : a->axes[i];
	if (!s)
		s = args_axes(c->err, axes, n, x->rank);
	memcpy(dims, x->dims, sizeof x->dims);
	for (int i = 0; !s && i < n; i++) {
		if (sizes[i] < 0)
			return tm_fail(c->err, TAMIS_E_INVALID, "size %lld of an axis is negative", (long long)sizes[i]);
		dims[axes[i]] = sizes[i];
	}
	return s;
}

static enum tamis_status crop_shape(struct op_call *c)
{
	int64_t dims[TENSOR_MAX_RANK];
	enum tamis_status s = args_movable(c, 0);

	if (!s)
		s = args_index_type(c, 1);
	if (!s && c->in[0]->type == DT_STRING)
		s = tm_fail(c->err, TAMIS_E_UNSUPPORTED, "CenterCropPad of strings is not supported");
	if (s || !op_needs(c, 1))
		return s;
	s = crop_dims(c, dims);
	return s ? s : op_set_out(c, 0, c->in[0]->type, c->in[0]->rank, dims);
}

/* The walk over the common window, and where it begins on either side. */
static void window(const struct tensor *x, const int64_t *dims, struct strided *w, int64_t *from, int64_t *to)
{
	int64_t x_stride[TENSOR_MAX_RANK], y_stride[TENSOR_MAX_RANK];

	args_strides(x->rank, x->dims, x_stride);
	args_strides(x->rank, dims, y_stride);
	w->rank = 0;
	*from = *to = 0;
	for (int i = 0; i < x->rank; i++) {
		int64_t more = dims[i] - x->dims[i];

		strided_axis(w, more < 0 ? dims[i] : x->dims[i], x_stride[i], y_stride[i]);
		if (more < 0)
			*from += -more / 2 * x_stride[i];
		else
			*to += more / 2 * y_stride[i];
	}
}

static enum tamis_status crop_run(struct op_call *c)
{
	struct tensor *y = c->out[0];
	size_t size = args_element(c->in[0]->type);
	struct strided w;
	int64_t from, to;

	if (!y || y->count == 0)
		return TAMIS_OK;
	window(c->in[0], y->dims, &w, &from, &to);
	memset(y->data, 0, tensor_bytes(y));
	if (c->in[0]->count)
		strided_copy(&w, size, (const char *)c->in[0]->data + (size_t)from * size,
		             (char *)y->data + (size_t)to * size);
	return TAMIS_OK;
}

static enum tamis_status crop_reverse(struct op_grad *g)
{
	const struct tensor *gy = g->gout[0];
	struct strided w;
	int64_t from, to;
	size_t size;

	if (!gy || !g->gin[0] || gy->count == 0 || g->gin[0]->count == 0)
		return TAMIS_OK;
	window(g->call->in[0], gy->dims, &w, &from, &to);
	strided_swap(&w);
	size = args_element(gy->type);
	strided_add(&w, gy->type, (const char *)gy->data + (size_t)to * size,
	            (char *)g->gin[0]->data + (size_t)from * size);
	return TAMIS_OK;
}

/* ---- TensorScatter ---- */

struct cache_attr { int64_t axis; int circular; };

static enum tamis_status cache_parse(struct op_parse *p, void **attr)
{
	static const char *const modes[] = {"linear", "circular", NULL};
	struct cache_attr *a = *attr = args_alloc(p, sizeof *a);
	enum tamis_status s;

	if (!a)
		return TAMIS_E_MEMORY;
	s = attr_choice(p, "mode", modes, 0, &a->circular);
	return s ? s : attr_int(p, "axis", -2, &a->axis);
}

/* The cache as [batch, outer, length, inner], the update with `fresh` rows in place of `length`. */
struct cache { int64_t batch, outer, length, fresh, inner; };

static enum tamis_status find_cache(const struct op_call *c, struct cache *k)
{
	const struct cache_attr *a = c->node->attr;
	const struct tensor *past = c->in[0], *update = c->in[1], *at = op_in(c, 2);
	int axis = 0;
	char u[128], t[128];
	enum tamis_status s = args_axis(c->err, a->axis, past->rank, &axis);
	bool fits = !s && axis > 0 && update->type == past->type && update->rank == past->rank;

	for (int i = 0; fits && i < past->rank; i++)
		fits = i == axis ? update->dims[i] <= past->dims[i] : update->dims[i] == past->dims[i];
	if (s || !fits)
		return s ? s : tm_fail(c->err, TAMIS_E_INVALID, "an update %s does not fit a cache %s along axis %d",
		                       tensor_describe(update, u, sizeof u), tensor_describe(past, t, sizeof t),
		                       axis);
	if (at && (at->type != DT_INT64 || at->rank != 1 || at->dims[0] != past->dims[0]))
		return tm_fail(c->err, TAMIS_E_INVALID, "write_indices must be %lld int64; they are %s",
		               (long long)past->dims[0], tensor_describe(at, u, sizeof u));
	*k = (struct cache){past->dims[0], tensor_extent(past, 1, axis), past->dims[axis], update->dims[axis],
	                    tensor_extent(past, axis + 1, past->rank)};
	return TAMIS_OK;
}

static enum tamis_status cache_shape(struct op_call *c)
{
	struct cache k;
	enum tamis_status s = args_movable(c, 0);

	if (!s)
		s = find_cache(c, &k);
	return s ? s : op_set_like(c, 0, c->in[0]->type, c->in[0]);
}

/* Row of the cache that row i of the update of an item goes to. */
static enum tamis_status row_at(const struct op_call *c, const struct cache *k, int64_t item, int64_t i,
                                int64_t *row)
{
	const struct cache_attr *a = c->node->attr;
	int64_t first = op_in(c, 2) ? tensor_get_int(c->in[2], item) : 0;

	if (first < 0 || (!a->circular && first > k->length - k->fresh))
		return tm_fail(c->err, TAMIS_E_INVALID, "%lld rows do not fit a cache of %lld from row %lld on",
		               (long long)k->fresh, (long long)k->length, (long long)first);
	*row = a->circular ? (first % k->length + i) % k->length : first + i;
	return TAMIS_OK;
}

/* What is done with each row of the update: its first element, and that of its place in the cache. */
typedef void row_fn(const struct cache *k, int64_t from, int64_t to, void *ctx);

static enum tamis_status each_row(const struct op_call *c, row_fn *fn, void *ctx)
{
	struct cache k;
	enum tamis_status s = find_cache(c, &k);

	for (int64_t n = 0; !s && n < k.batch * k.outer * k.fresh; n++) {
		int64_t slab = n / k.fresh, row = 0;

		s = row_at(c, &k, slab / k.outer, n % k.fresh, &row);
		if (!s)
			fn(&k, n * k.inner, (slab * k.length + row) * k.inner, ctx);
	}
	return s;
}

static void copy_row(const struct cache *k, int64_t from, int64_t to, void *ctx)
{
	const struct op_call *c = ctx;
	size_t size = args_element(c->in[0]->type);

	memcpy((char *)c->out[0]->data + (size_t)to * size, (const char *)c->in[1]->data + (size_t)from * size,
	       (size_t)k->inner * size);
}

static enum tamis_status cache_run(struct op_call *c)
{
	if (!c->out[0] || c->out[0]->count == 0)
		return TAMIS_OK;
	memcpy(c->out[0]->data, c->in[0]->data, tensor_bytes(c->in[0]));
	return each_row(c, copy_row, c);
}

/* What the output's gradient becomes on its way back: rows move to the update, the rest stays for the cache.
 * */
struct rows_back { struct tensor rest; struct tensor *update; };

static void row_back(const struct cache *k, int64_t from, int64_t to, void *ctx)
{
	struct rows_back *b = ctx;
	size_t size = args_element(b->rest.type);
	struct strided row = {0};

	strided_axis(&row, k->inner, 1, 1);
	if (b->update)
		strided_add(&row, b->rest.type, (const char *)b->rest.data + (size_t)to * size,
		            (char *)b->update->data + (size_t)from * size);
	memset((char *)b->rest.data + (size_t)to * size, 0, (size_t)k->inner * size);
}

static enum tamis_status cache_reverse(struct op_grad *g)
{
	struct rows_back b;
	struct strided all;
	enum tamis_status s;

	if (!g->gout[0] || g->gout[0]->count == 0)
		return TAMIS_OK;
	b = (struct rows_back){*g->gout[0], g->gin[1]};
	b.rest.data = scratch_alloc(g->call->scratch, tensor_bytes(g->gout[0]), 1);
	if (!b.rest.data)
		return tm_no_memory(g->call->err, "reversing a cache");
	memcpy(b.rest.data, g->gout[0]->data, tensor_bytes(g->gout[0]));
	s = each_row(g->call, row_back, &b);
	if (s || !g->gin[0])
		return s;
	strided_init(&all, b.rest.rank, b.rest.dims);
	strided_add(&all, b.rest.type, b.rest.data, g->gin[0]->data);
	return TAMIS_OK;
}

const struct op ops_crop[] = {
	{.name = "CenterCropPad", .domain = "", .since = 18, .until = OP_LATEST, .min_in = 2, .max_in = 2,
	 .min_out = 1,
	 .max_out = 1, .flags = OP_ANY_BITS, .parse = crop_parse, .shape = crop_shape, .run = crop_run,
	 .reverse = crop_reverse},
	{.name = "TensorScatter", .domain = "", .since = 24, .until = OP_LATEST, .min_in = 2, .max_in = 3,
	 .min_out = 1,
	 .max_out = 1, .flags = OP_ANY_BITS, .parse = cache_parse, .shape = cache_shape, .run = cache_run,
	 .reverse = cache_reverse},
	{0},
};
