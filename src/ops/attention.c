/* SPDX-License-Identifier: Apache-2.0 */
/* Attention (opset 23 on): heads in a fourth axis or side by side in the last, grouped keys, cached keys,
 * masks,
 * causal and sliding windows. The mathematics is attend.h's. */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "ops/args.h"
#include "ops/attend.h"
#include "ops/family.h"
#include "ops/reals.h"
#include "ops/strided.h"

enum { Q, K, V, MASK, PAST_K, PAST_V, LENGTHS };

struct attention_attr {
	int64_t causal, heads, kv_heads, tap, left, right;
	float scale, softcap;
	bool has_scale;
};

static enum tamis_status attention_parse(struct op_parse *p, void **attr)
{
	struct attention_attr *a = *attr = args_alloc(p, sizeof *a);
	const struct { const char *name; int64_t fallback, *to; } ints[] = {
		{"is_causal", 0, a ? &a->causal : NULL}, {"q_num_heads", 0, a ? &a->heads : NULL},
		{"kv_num_heads", 0, a ? &a->kv_heads : NULL}, {"qk_matmul_output_mode", 0, a ? &a->tap : NULL},
		{"left_window_size", -1, a ? &a->left : NULL}, {"right_window_size", -1, a ? &a->right : NULL},
	};
	enum tamis_status s = TAMIS_OK;

	if (!a)
		return TAMIS_E_MEMORY;
	for (size_t i = 0; !s && i < sizeof ints / sizeof *ints; i++)
		s = attr_int(p, ints[i].name, ints[i].fallback, ints[i].to);
	if (!s)
		s = attr_float(p, "scale", 0, &a->scale);
	if (!s)
		s = attr_float(p, "softcap", 0, &a->softcap);
	a->has_scale = attr_has(p, "scale");
	if (!s && (a->tap < 0 || a->tap > 3 || a->left < -1 || a->right < -1))
		return tm_fail(p->err, TAMIS_E_INVALID,
		               "Attention has output modes 0 to 3 and windows from -1 on; it states mode %lld and windows %lld "
		               "and %lld", (long long)a->tap, (long long)a->left, (long long)a->right);
	return s;
}

/* ---- Shapes ---- */

/* The sizes of a call. */
struct sizes {
	int64_t batch, heads, kv_heads, queries, fresh, past, size, v_size;
};

/* Heads, rows and elements a row of one of Q, K, V. */
static enum tamis_status find_heads(const struct op_call *c, int i, int64_t heads, int64_t *h, int64_t *rows,
                                    int64_t *size)
{
	const struct tensor *t = c->in[i];
	char text[128];

	if (t->rank == 4) {
		*h = t->dims[1];
		*rows = t->dims[2];
		*size = t->dims[3];
		return TAMIS_OK;
	}
	if (t->rank != 3 || heads < 1 || t->dims[2] % heads)
		return tm_fail(c->err, TAMIS_E_INVALID,
		               "input %d of Attention must be [batch, heads, rows, size], or [batch, rows, heads * size] with "
		               "the number of heads stated; it is %s and heads are %lld", i,
		               tensor_describe(t, text, sizeof text), (long long)heads);
	*h = heads;
	*rows = t->dims[1];
	*size = t->dims[2] / heads;
	return TAMIS_OK;
}

static enum tamis_status check_past(const struct op_call *c, struct sizes *z)
{
	const struct tensor *k = op_in(c, PAST_K), *v = op_in(c, PAST_V);

	z->past = 0;
	if (!k && !v)
		return TAMIS_OK;
	if (!k || !v || k->type != c->in[Q]->type || v->type != k->type || k->rank != 4 || v->rank != 4 ||
	    k->dims[0] != z->batch || v->dims[0] != z->batch || k->dims[1] != z->kv_heads ||
	    v->dims[1] != z->kv_heads ||
	    k->dims[2] != v->dims[2] || k->dims[3] != z->size || v->dims[3] != z->v_size)
		return tm_fail(c->err, TAMIS_E_INVALID,
		               "past_key and past_value must both be there and have the batch, heads and size of K and V");
	z->past = k->dims[2];
	return TAMIS_OK;
}

/* Of empty tensors, axes of any length meet here. */
static enum tamis_status check_products(const struct op_call *c, const struct sizes *z)
{
	int64_t row, keys;

	if (tm_mul(z->heads, z->v_size, &row) && tm_add(z->past, z->fresh, &keys))
		return TAMIS_OK;
	return tm_fail(c->err, TAMIS_E_INVALID, "%lld heads of %lld elements, or %lld and %lld keys, overflow",
	               (long long)z->heads, (long long)z->v_size, (long long)z->past, (long long)z->fresh);
}

static enum tamis_status find_sizes(const struct op_call *c, struct sizes *z)
{
	const struct attention_attr *a = c->node->attr;
	int64_t k_size = 0, v_heads = 0, v_rows = 0;
	enum tamis_status s = find_heads(c, Q, a->heads, &z->heads, &z->queries, &z->size);

	if (!s)
		s = find_heads(c, K, a->kv_heads, &z->kv_heads, &z->fresh, &k_size);
	if (!s)
		s = find_heads(c, V, a->kv_heads, &v_heads, &v_rows, &z->v_size);
	if (s)
		return s;
	z->batch = c->in[Q]->dims[0];
	if (c->in[K]->dims[0] != z->batch || c->in[V]->dims[0] != z->batch || k_size != z->size ||
	    v_heads != z->kv_heads ||
	    v_rows != z->fresh)
		return tm_fail(c->err, TAMIS_E_INVALID,
		               "Q, K and V of Attention must agree in batch, heads, rows and size");
	if (z->kv_heads < 1 || z->heads % z->kv_heads)
		return tm_fail(c->err, TAMIS_E_INVALID, "%lld heads of queries cannot share %lld of keys",
		               (long long)z->heads, (long long)z->kv_heads);
	s = check_past(c, z);
	return s ? s : check_products(c, z);
}

/* The mask is laid over [batch, heads, queries, keys] from the right; only its last axis may be shorter. */
static enum tamis_status check_mask(const struct op_call *c, const struct sizes *z)
{
	const struct tensor *m = op_in(c, MASK), *lengths = op_in(c, LENGTHS);
	const int64_t full[] = {z->batch, z->heads, z->queries, z->past + z->fresh};
	char text[128];
	bool fits = !m || (m->rank >= 1 && m->rank <= 4 && m->dims[m->rank - 1] <= full[3]);

	for (int i = 0; m && fits && i < m->rank - 1; i++)
		fits = m->dims[i] == 1 || m->dims[i] == full[4 - m->rank + i];
	if (!fits)
		return tm_fail(c->err, TAMIS_E_INVALID, "the mask %s does not broadcast to [%lld,%lld,%lld,%lld]",
		               tensor_describe(m, text, sizeof text), (long long)full[0], (long long)full[1],
		               (long long)full[2], (long long)full[3]);
	if (m && m->type != DT_BOOL && !dtype_is_float((int)m->type))
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "a mask of %s is not supported; bool and floats are",
		               dtype_name((int)m->type));
	if (lengths && (lengths->type != DT_INT64 || lengths->rank != 1 || lengths->dims[0] != z->batch ||
	                op_in(c, PAST_K)))
		return tm_fail(c->err, TAMIS_E_INVALID,
		               "nonpad_kv_seqlen must be %lld int64, without past_key; it is %s", (long long)z->batch,
		               tensor_describe(lengths, text, sizeof text));
	return TAMIS_OK;
}

static enum tamis_status attention_shape(struct op_call *c)
{
	const struct tensor *q = c->in[Q];
	enum dtype type = q->type;
	struct sizes z;
	enum tamis_status s;

	if (!dtype_is_float((int)type) || c->in[K]->type != type || c->in[V]->type != type)
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED,
		               "Attention of %s, %s and %s is not supported; one float type is",
		               dtype_name((int)type), dtype_name((int)c->in[K]->type),
		               dtype_name((int)c->in[V]->type));
	s = find_sizes(c, &z);
	if (!s)
		s = check_mask(c, &z);
	if (!s)
		s = q->rank == 3 ? op_set_out(c, 0, type, 3, (int64_t[]){z.batch, z.queries, z.heads * z.v_size})
		                 : op_set_out(c, 0, type, 4, (int64_t[]){z.batch, z.heads, z.queries, z.v_size});
	if (!s)
		s = op_set_out(c, 1, type, 4, (int64_t[]){z.batch, z.kv_heads, z.past + z.fresh, z.size});
	if (!s)
		s = op_set_out(c, 2, type, 4, (int64_t[]){z.batch, z.kv_heads, z.past + z.fresh, z.v_size});
	return s ? s : op_set_out(c, 3, type, 4, (int64_t[]){z.batch, z.heads, z.queries, z.past + z.fresh});
}

/* ---- Bias ---- */

struct bias {
	const struct attention_attr *attr;
	const struct tensor *mask, *lengths;
	struct tensor *mask_gradient;
	int64_t keys, past, queries;
	int64_t stride[3]; /* of batch, head and query in the mask */
};

static struct bias find_bias(const struct op_call *c, const struct sizes *z, struct tensor *gradient)
{
	struct bias b = {c->node->attr, op_in(c, MASK), op_in(c, LENGTHS), gradient, z->past + z->fresh, z->past,
	                 z->queries, {0}};
	int64_t stride = 1;

	for (int i = b.mask ? b.mask->rank - 1 : -1; i >= 0; i--) {
		if (i < b.mask->rank - 1)
			b.stride[4 - b.mask->rank + i] = b.mask->dims[i] == 1 ? 0 : stride;
		stride *= b.mask->dims[i];
	}
	return b;
}

static int64_t mask_row(const struct bias *b, int64_t batch, int64_t head, int64_t i)
{
	return batch * b->stride[0] + head * b->stride[1] + i * b->stride[2];
}

static bool visible(const struct bias *b, int64_t batch, int64_t i, int64_t j)
{
	int64_t length = b->lengths ? ((const int64_t *)b->lengths->data)[batch] : b->keys;
	int64_t ahead;

	if (j >= length)
		return false;
	ahead = j - i - (b->lengths ? length - b->queries : b->past);
	if (b->attr->causal && ahead > 0)
		return false;
	return (b->attr->left < 0 || ahead >= -b->attr->left) && (b->attr->right < 0 || ahead <= b->attr->right);
}

static bool add_bias(const void *ctx, int64_t batch, int64_t head, int64_t i, double *row)
{
	const struct bias *b = ctx;
	int64_t at = mask_row(b, batch, head, i), width = b->mask ? b->mask->dims[b->mask->rank - 1] : b->keys;
	bool any = false;

	for (int64_t j = 0; j < b->keys; j++) {
		double add = j < width && visible(b, batch, i, j) ? 0 : -INFINITY;

		if (add == 0 && b->mask && b->mask->type == DT_BOOL)
			add = ((const uint8_t *)b->mask->data)[at + j] ? 0 : -INFINITY;
		else if (add == 0 && b->mask)
			add = real_get(b->mask, at + j);
		row[j] += add;
		any |= add > -INFINITY;
	}
	return any;
}

static void bias_back(const void *ctx, int64_t batch, int64_t head, int64_t i, const double *row)
{
	const struct bias *b = ctx;
	int64_t at = mask_row(b, batch, head, i), width = b->mask->dims[b->mask->rank - 1];

	for (int64_t j = 0; j < width; j++)
		if (visible(b, batch, i, j))
			real_add(b->mask_gradient, at + j, row[j]);
}

/* ---- Keys and values with their past ---- */

static struct attend_view view_of(const struct tensor *t, int64_t heads, int64_t rows, int64_t size)
{
	if (t && t->rank == 3)
		return (struct attend_view){rows * heads * size, size, heads * size};
	return (struct attend_view){heads * rows * size, rows * size, size};
}

/* The walk of fresh or past rows: from their own layout to [batch, heads, all rows, size]. */
static struct strided rows_walk(const struct attend_view *from, const struct sizes *z, int64_t rows,
                                int64_t size)
{
	int64_t all = z->past + z->fresh;
	struct strided s = {0};

	strided_axis(&s, z->batch, from->batch, z->kv_heads * all * size);
	strided_axis(&s, z->kv_heads, from->head, all * size);
	strided_axis(&s, rows, from->row, size);
	strided_axis(&s, size, 1, 1);
	return s;
}

/* Keys (or values) of a call: the input itself, or past and fresh rows joined in an output or in scratch. */
struct cache {
	const void *data;
	struct attend_view view;
	bool joined;
};

static enum tamis_status join(const struct op_call *c, const struct sizes *z, int input, int past, int output,
                              int64_t size, bool reading, struct cache *k)
{
	const struct tensor *fresh = c->in[input], *old = op_in(c, past);
	struct tensor *present = output < c->n_out ? c->out[output] : NULL;
	struct attend_view whole = view_of(NULL, z->kv_heads, z->past + z->fresh, size);
	struct attend_view fresh_view = view_of(fresh, z->kv_heads, z->fresh, size);
	struct attend_view old_view = view_of(old, z->kv_heads, z->past, size);
	size_t bytes = dtype_bits((int)fresh->type) / 8;
	struct strided walk;
	char *to;

	*k = (struct cache){fresh->data, fresh_view, false};
	if (!old && !present)
		return TAMIS_OK;
	*k = (struct cache){present ? present->data : NULL, whole, true};
	if (present && reading)
		return TAMIS_OK;
	to = present ? present->data
	             : scratch_alloc(c->scratch, (size_t)(z->batch * z->kv_heads * (z->past + z->fresh) * size),
	                             bytes);
	if (!to)
		return tm_no_memory(c->err, "joining keys");
	k->data = to;
	walk = rows_walk(&fresh_view, z, z->fresh, size);
	strided_copy(&walk, bytes, fresh->data, to + (size_t)(z->past * size) * bytes);
	walk = rows_walk(&old_view, z, z->past, size);
	if (old)
		strided_copy(&walk, bytes, old->data, to);
	return TAMIS_OK;
}

/* Gradient of the joined rows back to past and fresh ones. */
static void part(const struct op_grad *g, const struct sizes *z, int input, int past, int64_t size,
                 const struct tensor *joined)
{
	struct tensor *fresh = g->gin[input], *old = past < g->call->n_in ? g->gin[past] : NULL;
	struct attend_view fresh_view = view_of(fresh, z->kv_heads, z->fresh, size);
	struct attend_view old_view = view_of(old, z->kv_heads, z->past, size);
	const char *from = joined->data;
	size_t skip = (size_t)(z->past * size) * (size_t)dtype_bits((int)joined->type) / 8;
	struct strided walk;

	if (fresh) {
		walk = rows_walk(&fresh_view, z, z->fresh, size);
		strided_swap(&walk);
		strided_add(&walk, joined->type, from + skip, fresh->data);
	}
	if (old) {
		walk = rows_walk(&old_view, z, z->past, size);
		strided_swap(&walk);
		strided_add(&walk, joined->type, from, old->data);
	}
}

/* ---- Run and reverse ---- */

static struct attend find_attend(const struct op_call *c, const struct sizes *z, const struct cache *k,
                                 const struct cache *v, const struct bias *b)
{
	const struct attention_attr *a = c->node->attr;

	return (struct attend){
		.type = c->in[Q]->type, .batch = z->batch, .heads = z->heads, .kv_heads = z->kv_heads, .queries =
			z->queries,
		.keys = z->past + z->fresh, .size = z->size, .v_size = z->v_size,
		.scale = a->has_scale ? (double)a->scale : 1 / sqrt((double)z->size), .softcap = (double)a->softcap,
		.tap = (enum attend_tap)a->tap, .q = view_of(c->in[Q], z->heads, z->queries, z->size), .k = k->view,
		.v = v->view, .y = view_of(c->in[Q], z->heads, z->queries, z->v_size), .bias = add_bias, .ctx = b,
	};
}

static enum tamis_status attention_run(struct op_call *c)
{
	struct tensor *tap = c->n_out > 3 ? c->out[3] : NULL;
	struct sizes z;
	struct cache k, v;
	struct bias b;
	struct attend a;
	void *y;
	enum tamis_status s = find_sizes(c, &z);

	if (!s)
		s = join(c, &z, K, PAST_K, 1, z.size, false, &k);
	if (!s)
		s = join(c, &z, V, PAST_V, 2, z.v_size, false, &v);
	if (s || (!c->out[0] && !tap))
		return s;
	b = find_bias(c, &z, NULL);
	a = find_attend(c, &z, &k, &v, &b);
	y = c->out[0] ? c->out[0]->data
	              : scratch_alloc(c->scratch, (size_t)(z.batch * z.heads * z.queries * z.v_size),
	                              sizeof(double));
	if (!y)
		return tm_no_memory(c->err, "attending");
	return attend_run(&a, c->in[Q]->data, k.data, v.data, y, tap ? tap->data : NULL, c->scratch, c->err);
}

/* A tensor for the gradient of joined rows that starts as the gradient of the output. */
static enum tamis_status start_joined(const struct op_grad *g, int output, const struct sizes *z,
                                      int64_t size,
                                      struct tensor *t)
{
	const struct op_call *c = g->call;
	const struct tensor *more = output < c->n_out ? g->gout[output] : NULL;
	int64_t dims[] = {z->batch, z->kv_heads, z->past + z->fresh, size};
	enum tamis_status s = tensor_shape(t, c->in[Q]->type, 4, dims, c->err);

	if (s)
		return s;
	t->data = scratch_alloc(c->scratch, tensor_bytes(t), 1);
	if (!t->data)
		return tm_no_memory(c->err, "reversing attention");
	memset(t->data, 0, tensor_bytes(t));
	if (more)
		memcpy(t->data, more->data, tensor_bytes(t));
	return TAMIS_OK;
}

static enum tamis_status attention_reverse(struct op_grad *g)
{
	const struct op_call *c = g->call;
	const struct tensor *gtap = c->n_out > 3 ? g->gout[3] : NULL, *gy = g->gout[0];
	struct tensor *gmask = c->n_in > MASK ? g->gin[MASK] : NULL, gk = {0}, gv = {0};
	struct attend_gradients to = {gy ? gy->data : NULL, gtap ? gtap->data : NULL, NULL, NULL, NULL};
	struct sizes z;
	struct cache k, v;
	struct bias b;
	struct attend a;
	enum tamis_status s = find_sizes(c, &z);

	if (!s)
		s = join(c, &z, K, PAST_K, 1, z.size, true, &k);
	if (!s)
		s = join(c, &z, V, PAST_V, 2, z.v_size, true, &v);
	if (!s)
		s = start_joined(g, 1, &z, z.size, &gk);
	if (!s)
		s = start_joined(g, 2, &z, z.v_size, &gv);
	if (s)
		return s;
	b = find_bias(c, &z, gmask);
	a = find_attend(c, &z, &k, &v, &b);
	a.bias_back = gmask && gmask->type == a.type ? bias_back : NULL;
	to.gq = g->gin[Q] ? g->gin[Q]->data : NULL;
	to.gk = k.joined ? gk.data : g->gin[K] ? g->gin[K]->data : NULL;
	to.gv = v.joined ? gv.data : g->gin[V] ? g->gin[V]->data : NULL;
	if (gy || gtap)
		s = attend_reverse(&a, c->in[Q]->data, k.data, v.data, &to, c->scratch, c->err);
	if (!s && k.joined)
		part(g, &z, K, PAST_K, z.size, &gk);
	if (!s && v.joined)
		part(g, &z, V, PAST_V, z.v_size, &gv);
	return s;
}

const struct op ops_attention[] = {
	{.name = "Attention", .domain = "", .since = 23, .until = OP_LATEST, .min_in = 3, .max_in = 7, .min_out =
	 1,
	 .max_out = 4, .parse = attention_parse, .shape = attention_shape, .run = attention_run,
	 .reverse = attention_reverse},
	{0},
};
