/* SPDX-License-Identifier: Apache-2.0 */
/* Attention and MultiHeadAttention of the domain com.microsoft, as compositions around ONNX's Attention. */
#include <string.h>

#include "ops/args.h"
#include "ops/compose.h"
#include "ops/family.h"
#include "ops/reals.h"

#define OPSET 24 /* of the stages, except Split, whose sizes are an attribute in opset 11 */
#define T(k) (COMPOSE_TEMP + (k))
#define OUT(k) (COMPOSE_OUT + (k))
#define PORTS(...) .n_in = (int)(sizeof (int[]){__VA_ARGS__} / sizeof(int)), .in = {__VA_ARGS__}
#define ADD(a, b, to) (&(struct compose_stage){.name = "Add", .opset = OPSET, PORTS(a, b), .n_out = 1, .out = \
                                               {to}})

/* ---- A mask of integers as a bias ---- */

static enum tamis_status mask_parse(struct op_parse *p, void **attr)
{
	float *filter = *attr = args_alloc(p, sizeof *filter);

	return filter ? attr_float(p, "mask_filter_value", -10000, filter) : TAMIS_E_MEMORY;
}

/* [items] lengths, [items, keys] or [items, queries, keys] ones and zeros, against keys [items, keys, size]
 * or
 * [items, heads, keys, size]. */
static enum tamis_status mask_shape(struct op_call *c)
{
	const struct tensor *m = c->in[0], *k = c->in[1];
	char text[128];

	if (m->type != DT_INT32 || m->rank < 1 || m->rank > 3 || k->rank < 3 || m->dims[0] != k->dims[0])
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED,
		               "a mask %s is not supported; int32 of one to three axes is, with one "
		               "row an item", tensor_describe(m, text, sizeof text));
	if (m->rank == 1)
		return op_set_out(c, 0, k->type, 4, (int64_t[]){m->dims[0], 1, 1, k->dims[k->rank - 2]});
	return op_set_out(c, 0, k->type, 4, (int64_t[]){m->dims[0], 1, m->rank == 3 ? m->dims[1] : 1,
	                                                m->dims[m->rank - 1]});
}

static enum tamis_status mask_run(struct op_call *c)
{
	const int32_t *m = c->in[0]->data;
	struct tensor *y = c->out[0];
	float filter = *(const float *)c->node->attr;

	for (int64_t i = 0; i < y->count; i++) {
		bool kept = c->in[0]->rank == 1 ? i % y->dims[3] < m[i / y->dims[3]] : m[i] != 0;

		real_set(y, i, kept ? 0 : (double)filter);
	}
	return TAMIS_OK;
}

static const struct op mask = {.name = "mask", .domain = "", .since = 1, .until = OP_LATEST, .min_in = 2,
                               .max_in = 2,
                               .min_out = 1, .max_out = 1, .parse = mask_parse, .shape = mask_shape, .run =
                               mask_run};

/* ---- Common parts ---- */

/* Bias of a call from a mask and an additive one, either of which may be absent, into *value. */
static enum tamis_status add_bias(struct op_parse *p, void **attr, int masked, int added, int keys,
                                  int *value)
{
	const struct compose_stage stage = {.op = &mask, .opset = OPSET, .own = true, PORTS(masked, keys),
	                                    .n_out = 1,
	                                    .out = {T(8)}};
	enum tamis_status s = TAMIS_OK;

	*value = compose_has(p, added) ? added : COMPOSE_NONE;
	if (!compose_has(p, masked))
		return TAMIS_OK;
	s = compose_add(p, attr, &stage);
	if (!s && *value != COMPOSE_NONE)
		s = compose_add(p, attr, ADD(T(8), added, T(9)));
	*value = *value == COMPOSE_NONE ? T(8) : T(9);
	return s;
}

/* The attributes of ONNX's Attention from those of the fused ones; room for 5. */
static enum tamis_status head_attrs(struct op_parse *p, struct compose_attr *attrs)
{
	int64_t heads = 0;
	bool causal = false;
	float scale = 0;
	enum tamis_status s = attr_required(p, "num_heads");

	if (!s)
		s = attr_int(p, "num_heads", 0, &heads);
	if (!s)
		s = attr_bool(p, "unidirectional", false, &causal);
	if (!s)
		s = attr_float(p, "scale", 0, &scale);
	attrs[0] = (struct compose_attr){.name = "q_num_heads", .kind = COMPOSE_INT, .i = heads};
	attrs[1] = (struct compose_attr){.name = "kv_num_heads", .kind = COMPOSE_INT, .i = heads};
	attrs[2] = (struct compose_attr){.name = "is_causal", .kind = COMPOSE_INT, .i = causal};
	if (scale != 0)
		attrs[3] = (struct compose_attr){.name = "scale", .kind = COMPOSE_FLOAT, .f = scale};
	return s;
}

static enum tamis_status refuse(struct op_parse *p, const char *what)
{
	return tm_fail(p->err, TAMIS_E_UNSUPPORTED, "%s with %s is not supported", p->node->op->name, what);
}

/* ---- Attention: projections, then heads ---- */

enum { A_X, A_W, A_B, A_MASK, A_PAST, A_BIAS };

static enum tamis_status attention_parse(struct op_parse *p, void **attr)
{
	struct compose_attr heads[5] = {{0}}, split[3] = {{.name = "axis", .kind = COMPOSE_INT, .i = -1}, {0}};
	const struct compose_stage product = {.name = "MatMul", .opset = OPSET, PORTS(A_X, A_W), .n_out = 1,
	                                      .out = {T(0)}};
	struct compose_stage parts = {.name = "Split", .opset = 11, .attrs = split, PORTS(compose_has(p, A_B) ?
	                                                                                  T(1) : T(0)),
	                              .n_out = 3, .out = {T(2), T(3), T(4)}};
	struct compose_stage core = {.name = "Attention", .opset = OPSET, .attrs = heads,
	                             PORTS(T(2), T(3), T(4), COMPOSE_NONE), .n_out = 1, .out = {OUT(0)}};
	const int64_t *sizes = NULL;
	int n = 0;
	bool rotary = false;
	enum tamis_status s = head_attrs(p, heads);

	if (!s)
		s = attr_ints(p, "qkv_hidden_sizes", &sizes, &n);
	if (!s)
		s = attr_bool(p, "do_rotary", false, &rotary);
	if (!s && (rotary || compose_has(p, A_PAST)))
		s = refuse(p, rotary ? "do_rotary" : "past states");
	if (n > 0)
		split[1] = (struct compose_attr){.name = "split", .kind = COMPOSE_INTS, .n = n, .ints = sizes};
	if (!s)
		s = compose_add(p, attr, &product);
	if (!s && compose_has(p, A_B))
		s = compose_add(p, attr, ADD(T(0), A_B, T(1)));
	if (!s)
		s = compose_add(p, attr, &parts);
	if (!s)
		s = add_bias(p, attr, A_MASK, A_BIAS, A_X, &core.in[3]);
	return s ? s : compose_add(p, attr, &core);
}

/* ---- MultiHeadAttention: projections are there ---- */

enum { M_Q, M_K, M_V, M_B, M_MASK, M_BIAS, M_PAST_K, M_PAST_V };

static enum tamis_status multi_parse(struct op_parse *p, void **attr)
{
	struct compose_attr heads[5] = {{0}};
	const struct compose_stage parts = {.name = "Split", .opset = 11, PORTS(M_B), .n_out = 3, .out = {T(0),
	                                                                                                  T(1),
	                                                                                                  T(2)}};
	struct compose_stage core = {.name = "Attention", .opset = OPSET, .attrs = heads,
	                             PORTS(M_Q, M_K, M_V, COMPOSE_NONE, M_PAST_K, M_PAST_V), .n_out = 3,
	                             .out = {OUT(0), OUT(1), OUT(2)}};
	enum tamis_status s = head_attrs(p, heads);

	if (!s && (!compose_has(p, M_K) || !compose_has(p, M_V)))
		s = refuse(p, "packed keys and values");
	if (!s && (compose_has(p, 8) || compose_has(p, 9)))
		s = refuse(p, "shared buffers");
	core.n_out = p->node->n_out < 3 ? 1 : 3;
	if (!compose_has(p, M_PAST_K))
		core.n_in = 4;
	if (!s && compose_has(p, M_B))
		s = compose_add(p, attr, &parts);
	for (int i = 0; !s && compose_has(p, M_B) && i < 3; i++) {
		core.in[i] = T(4 + i);
		s = compose_add(p, attr, ADD(i, T(i), T(4 + i)));
	}
	if (!s)
		s = add_bias(p, attr, M_MASK, M_BIAS, M_K, &core.in[3]);
	return s ? s : compose_add(p, attr, &core);
}

#define FUSED(op_name, inputs, most_inputs, outputs, parser) \
	{ \
		.name = op_name, .domain = "com.microsoft", .since = 1, .until = OP_LATEST, .min_in = inputs, \
		.max_in = most_inputs, .min_out = 1, .max_out = outputs, .parse = parser, .shape = compose_shape, \
		.run = compose_run, .reverse = compose_reverse \
	}

const struct op ops_fused_attention[] = {
	FUSED("Attention", 2, 7, 2, attention_parse),
	FUSED("MultiHeadAttention", 1, 10, 4, multi_parse),
	{0},
};
