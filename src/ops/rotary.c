/* SPDX-License-Identifier: Apache-2.0 */
/* RotaryEmbedding: pairs of elements of each head turned by the angle of their position. */
#include "ops/args.h"
#include "ops/family.h"
#include "ops/reals.h"

enum { X, COS, SIN, POSITIONS };

struct rotary_attr {
	int64_t heads, turned; /* turned 0: the whole head */
	bool interleaved;
};

static enum tamis_status rotary_parse(struct op_parse *p, void **attr)
{
	struct rotary_attr *a = *attr = args_alloc(p, sizeof *a);
	enum tamis_status s;

	if (!a)
		return TAMIS_E_MEMORY;
	s = attr_int(p, "num_heads", 0, &a->heads);
	if (!s)
		s = attr_int(p, "rotary_embedding_dim", 0, &a->turned);
	return s ? s : attr_bool(p, "interleaved", false, &a->interleaved);
}

/* Rows of `size` elements; strides in elements of item, head and position. */
struct rotary {
	int64_t batch, heads, positions, size, half;
	int64_t by_item, by_head, by_position;
};

static enum tamis_status find_rotary(const struct op_call *c, struct rotary *r)
{
	const struct rotary_attr *a = c->node->attr;
	const struct tensor *x = c->in[X];
	int64_t turned;
	char text[128];

	if (x->rank == 4)
		*r = (struct rotary){x->dims[0], x->dims[1], x->dims[2], x->dims[3], 0,
		                     tensor_extent(x, 1, 4), tensor_extent(x, 2, 4), x->dims[3]};
	else if (x->rank == 3 && a->heads > 0 && x->dims[2] % a->heads == 0)
		*r = (struct rotary){x->dims[0], a->heads, x->dims[1], x->dims[2] / a->heads, 0,
		                     tensor_extent(x, 1, 3), x->dims[2] / a->heads, x->dims[2]};
	else
		return tm_fail(c->err, TAMIS_E_INVALID,
		               "RotaryEmbedding takes [batch, heads, positions, size], or [batch, "
		               "positions, heads * size] with num_heads; it gets %s with num_heads %lld",
		               tensor_describe(x, text, sizeof text), (long long)a->heads);
	turned = a->turned ? a->turned : r->size;
	if (turned < 0 || turned > r->size || turned % 2)
		return tm_fail(c->err, TAMIS_E_INVALID, "%lld elements of heads of %lld cannot be turned in pairs",
		               (long long)turned, (long long)r->size);
	r->half = turned / 2;
	return TAMIS_OK;
}

static enum tamis_status check_caches(const struct op_call *c, const struct rotary *r)
{
	const struct tensor *positions = op_in(c, POSITIONS);
	char a[128], b[128];

	for (int i = COS; i <= SIN; i++) {
		const struct tensor *t = c->in[i];
		bool fits = positions ? t->rank == 2 : t->rank == 3 && t->dims[0] == r->batch &&
			t->dims[1] == r->positions;

		if (t->type != c->in[X]->type || !fits || t->dims[t->rank - 1] != r->half)
			return tm_fail(c->err, TAMIS_E_INVALID,
			               "the cache %s of %s does not hold an angle for each of %lld pairs",
			               tensor_describe(t, a, sizeof a), tensor_describe(c->in[X], b, sizeof b),
			               (long long)r->half);
	}
	if (!tensor_same_shape(c->in[COS], c->in[SIN]))
		return tm_fail(c->err, TAMIS_E_INVALID, "the caches of cosines and sines have different shapes");
	if (positions && (positions->type != DT_INT64 || positions->rank != 2 || positions->dims[0] != r->batch ||
	    positions->dims[1] != r->positions))
		return tm_fail(c->err, TAMIS_E_INVALID, "position_ids must be int64[%lld,%lld]; they are %s",
		               (long long)r->batch, (long long)r->positions, tensor_describe(positions, a, sizeof a));
	return TAMIS_OK;
}

static enum tamis_status rotary_shape(struct op_call *c)
{
	struct rotary r;
	enum tamis_status s;

	if (!dtype_is_float((int)c->in[X]->type))
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "RotaryEmbedding of %s is not supported",
		               dtype_name((int)c->in[X]->type));
	s = find_rotary(c, &r);
	if (!s)
		s = check_caches(c, &r);
	return s ? s : op_set_like(c, 0, c->in[X]->type, c->in[X]);
}

/* First element of the angles of a position of an item. */
static enum tamis_status angle_at(const struct op_call *c, const struct rotary *r, int64_t item,
                                  int64_t position,
                                  int64_t *at)
{
	const struct tensor *ids = op_in(c, POSITIONS);
	int64_t row = item * r->positions + position;

	if (ids) {
		row = tensor_get_int(ids, row);
		if (row < 0 || row >= c->in[COS]->dims[0])
			return tm_fail(c->err, TAMIS_E_INVALID, "position %lld is outside a cache of %lld",
			               (long long)row,
			               (long long)c->in[COS]->dims[0]);
	}
	*at = row * r->half;
	return TAMIS_OK;
}

/* What is done with each row: its first element, and that of its angles. */
typedef void row_fn(const void *ctx, const struct rotary *r, int64_t row, int64_t angles);

static enum tamis_status each_row(const struct op_call *c, row_fn *fn, const void *ctx)
{
	struct rotary r;
	enum tamis_status s = find_rotary(c, &r);

	for (int64_t i = 0; !s && i < r.batch * r.positions; i++) {
		int64_t item = i / r.positions, position = i % r.positions, angles = 0;

		s = angle_at(c, &r, item, position, &angles);
		for (int64_t h = 0; !s && h < r.heads; h++)
			fn(ctx, &r, item * r.by_item + h * r.by_head + position * r.by_position, angles);
	}
	return s;
}

/* Places of pair k within a row. */
static int64_t first_of(const struct op_call *c, int64_t k)
{
	return ((const struct rotary_attr *)c->node->attr)->interleaved ? 2 * k : k;
}

static int64_t second_of(const struct op_call *c, const struct rotary *r, int64_t k)
{
	return ((const struct rotary_attr *)c->node->attr)->interleaved ? 2 * k + 1 : r->half + k;
}

static void run_row(const void *ctx, const struct rotary *r, int64_t row, int64_t angles)
{
	const struct op_call *c = ctx;
	const struct tensor *x = c->in[X];
	struct tensor *y = c->out[0];

	for (int64_t k = 0; k < r->half; k++) {
		int64_t a = row + first_of(c, k), b = row + second_of(c, r, k);
		double u = real_get(x, a), v = real_get(x, b);
		double cosine = real_get(c->in[COS], angles + k), sine = real_get(c->in[SIN], angles + k);

		real_set(y, a, cosine * u - sine * v);
		real_set(y, b, sine * u + cosine * v);
	}
	for (int64_t k = 2 * r->half; k < r->size; k++)
		real_set(y, row + k, real_get(x, row + k));
}

static void row_back(const void *ctx, const struct rotary *r, int64_t row, int64_t angles)
{
	const struct op_grad *g = ctx;
	const struct op_call *c = g->call;

	for (int64_t k = 0; k < r->half; k++) {
		int64_t a = row + first_of(c, k), b = row + second_of(c, r, k);
		double u = real_get(c->in[X], a), v = real_get(c->in[X], b);
		double gu = real_get(g->gout[0], a), gv = real_get(g->gout[0], b);
		double cosine = real_get(c->in[COS], angles + k), sine = real_get(c->in[SIN], angles + k);

		if (g->gin[X]) {
			real_add(g->gin[X], a, cosine * gu + sine * gv);
			real_add(g->gin[X], b, cosine * gv - sine * gu);
		}
		if (g->gin[COS])
			real_add(g->gin[COS], angles + k, gu * u + gv * v);
		if (g->gin[SIN])
			real_add(g->gin[SIN], angles + k, gv * u - gu * v);
	}
	for (int64_t k = 2 * r->half; g->gin[X] && k < r->size; k++)
		real_add(g->gin[X], row + k, real_get(g->gout[0], row + k));
}

static enum tamis_status rotary_run(struct op_call *c)
{
	return c->out[0] ? each_row(c, run_row, c) : TAMIS_OK;
}

static enum tamis_status rotary_reverse(struct op_grad *g)
{
	return g->gout[0] ? each_row(g->call, row_back, g) : TAMIS_OK;
}

const struct op ops_rotary[] = {
	{.name = "RotaryEmbedding", .domain = "", .since = 23, .until = OP_LATEST, .min_in = 3, .max_in = 4,
	 .min_out = 1,
	 .max_out = 1, .parse = rotary_parse, .shape = rotary_shape, .run = rotary_run, .reverse =
	 rotary_reverse},
	{0},
};
