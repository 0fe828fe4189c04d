/* SPDX-License-Identifier: Apache-2.0 */
/* SwiGLU, and the fused operators of the domain com.microsoft, which onnxruntime's tools write: activations
 * with a bias, products with
 * an activation, normalizations of sums. Each is a composition (compose.h) of ONNX's own. */
#include <string.h>

#include "ops/args.h"
#include "ops/compose.h"
#include "ops/family.h"
#include "ops/map.h"
#include "ops/strided.h"

#define OPSET 24 /* of the stages */
#define T(k) (COMPOSE_TEMP + (k))
#define OUT(k) (COMPOSE_OUT + (k))
#define PORTS(...) .n_in = (int)(sizeof (int[]){__VA_ARGS__} / sizeof(int)), .in = {__VA_ARGS__}
#define ADD(a, b, to) (&(struct compose_stage){.name = "Add", .opset = OPSET, PORTS(a, b), .n_out = 1, .out = \
                                               {to}})
#define ONE(op_name, attributes, from, to) \
	(&(struct compose_stage){.name = op_name, .opset = OPSET, .attrs = attributes, PORTS(from), .n_out = 1, \
	                         .out = {to}})

/* ---- Activations ---- */

static const struct compose_attr tanh_form[] =
	{{.name = "approximate", .kind = COMPOSE_STRING, .text = "tanh"}, {0}};

static enum tamis_status gelu_parse(struct op_parse *p, void **attr)
{
	return compose_add(p, attr, ONE("Gelu", NULL, 0, OUT(0)));
}

static enum tamis_status biased(struct op_parse *p, void **attr, const struct compose_attr *form)
{
	enum tamis_status s = TAMIS_OK;
	bool bias = compose_has(p, 1);

	if (bias)
		s = compose_add(p, attr, ADD(0, 1, T(0)));
	return s ? s : compose_add(p, attr, ONE("Gelu", form, bias ? T(0) : 0, OUT(0)));
}

static enum tamis_status bias_gelu_parse(struct op_parse *p, void **attr)
{
	return biased(p, attr, NULL);
}

static enum tamis_status fast_gelu_parse(struct op_parse *p, void **attr)
{
	return biased(p, attr, tanh_form);
}

static enum tamis_status quick_gelu_parse(struct op_parse *p, void **attr)
{
	struct compose_attr attrs[] = {{.name = "alpha", .kind = COMPOSE_FLOAT}, {0}};
	enum tamis_status s = attr_float(p, "alpha", 1.702f, &attrs[0].f);

	return s ? s : compose_add(p, attr, ONE("Swish", attrs, 0, OUT(0)));
}

/* Swish of the gate times the value. */
static enum tamis_status swiglu_parse(struct op_parse *p, void **attr)
{
	const struct compose_stage gate = {.name = "Swish", .opset = OPSET, .own = true, PORTS(0), .n_out = 1,
	                                   .out = {T(0)}};
	const struct compose_stage product = {.name = "Mul", .opset = OPSET, PORTS(T(0), 1), .n_out = 1, .out =
	                                      {OUT(0)}};
	enum tamis_status s = compose_add(p, attr, &gate);

	return s ? s : compose_add(p, attr, &product);
}

static enum tamis_status swiglu_shape(struct op_call *c)
{
	if (c->in[0]->type != c->in[1]->type || !tensor_same_shape(c->in[0], c->in[1]))
		return tm_fail(c->err, TAMIS_E_INVALID,
		               "the gate and the value of SwiGLU must have one type and shape");
	return compose_shape(c);
}

/* ---- Activation behind a product ---- */

/* Which activations may follow, and the names of their parameters in order. */
static const struct { const char *name, *first, *second; } followers[] = {
	{"Relu", NULL, NULL}, {"Tanh", NULL, NULL}, {"Sigmoid", NULL, NULL}, {"LeakyRelu", "alpha", NULL},
	{"HardSigmoid", "alpha", "beta"}, {"Clip", "min", "max"},
};

static enum tamis_status follow(struct op_parse *p, void **attr, const char *name, const float *params, int n,
                                int from)
{
	struct compose_attr attrs[3] = {{0}};
	struct compose_stage stage = {.name = name, .opset = 10, .attrs = attrs, PORTS(from), .n_out = 1, .out =
	                              {OUT(0)}};

	for (size_t k = 0; k < sizeof followers / sizeof *followers; k++) {
		const char *names[] = {followers[k].first, followers[k].second};

		if (strcmp(followers[k].name, name) != 0)
			continue;
		for (int i = 0; i < 2 && i < n && names[i]; i++)
			attrs[i] = (struct compose_attr){.name = names[i], .kind = COMPOSE_FLOAT, .f = params[i]};
		return compose_add(p, attr, &stage);
	}
	return tm_fail(p->err, TAMIS_E_UNSUPPORTED, "%s with the activation \"%.40s\" is not supported",
	               p->node->op->name,
	               name);
}

/* A stage reads the attributes of the fused node itself: they have the same names. */
static enum tamis_status add_product(struct op_parse *p, void **attr, const char *name, int to)
{
	struct compose_stage stage = {.name = name, .opset = OPSET, .own = true, PORTS(0, 1, 2), .n_out = 1,
	                              .out = {to}};

	if (!compose_has(p, 2))
		stage.n_in = 2;
	return compose_add(p, attr, &stage);
}

static enum tamis_status conv_parse(struct op_parse *p, void **attr)
{
	const char *name;
	const float *params = NULL;
	int n = 0, at = 0;
	enum tamis_status s = attr_string(p, "activation", "", &name);
	bool more = compose_has(p, 3), active = !s && name[0];

	if (!s)
		s = attr_floats(p, "activation_params", &params, &n);
	if (!s)
		s = add_product(p, attr, "Conv", more || active ? T(at) : OUT(0));
	if (!s && more)
		s = compose_add(p, attr, ADD(T(at), 3, active ? T(at + 1) : OUT(0)));
	return s || !active ? s : follow(p, attr, name, params, n, T(more ? 1 : 0));
}

static enum tamis_status gemm_parse(struct op_parse *p, void **attr)
{
	const char *name;
	float params[2];
	enum tamis_status s = attr_string(p, "activation", "", &name);
	bool clip = !s && strcmp(name, "Clip") == 0, leaky = !s && strcmp(name, "LeakyRelu") == 0;

	if (!s)
		s = attr_float(p, "activation_alpha", leaky ? 0.01f : clip ? 0 : 0.2f, &params[0]);
	if (!s)
		s = attr_float(p, "activation_beta", clip ? 1 : 0.5f, &params[1]);
	if (!s)
		s = add_product(p, attr, "Gemm", name[0] ? T(0) : OUT(0));
	return s || !name[0] ? s : follow(p, attr, name, params, 2, T(0));
}

/* ---- FusedMatMul: factors transposed, the product scaled ---- */

static enum tamis_status swap_shape(struct op_call *c)
{
	const struct tensor *x = c->in[0];
	int64_t dims[TENSOR_MAX_RANK];

	memcpy(dims, x->dims, sizeof dims);
	if (x->rank >= 2) {
		dims[x->rank - 1] = x->dims[x->rank - 2];
		dims[x->rank - 2] = x->dims[x->rank - 1];
	}
	return op_set_out(c, 0, x->type, x->rank, dims);
}

static struct strided swap_walk(const struct tensor *x)
{
	int64_t m = x->rank >= 2 ? x->dims[x->rank - 2] : 1, n = x->rank ? x->dims[x->rank - 1] : 1;
	struct strided w = {0};

	strided_axis(&w, m * n > 0 ? x->count / (m * n) : 0, m * n, m * n);
	strided_axis(&w, m, n, 1);
	strided_axis(&w, n, 1, m);
	return w;
}

static enum tamis_status swap_run(struct op_call *c)
{
	struct strided w = swap_walk(c->in[0]);

	strided_copy(&w, args_element(c->in[0]->type), c->in[0]->data, c->out[0]->data);
	return TAMIS_OK;
}

static enum tamis_status swap_reverse(struct op_grad *g)
{
	struct strided w = swap_walk(g->call->in[0]);

	strided_swap(&w);
	if (g->gout[0] && g->gin[0])
		strided_add(&w, g->gin[0]->type, g->gout[0]->data, g->gin[0]->data);
	return TAMIS_OK;
}

/* The last two axes exchanged; vectors stay. */
static const struct op swap = {.name = "swap", .domain = "", .since = 1, .until = OP_LATEST, .min_in = 1,
                               .max_in = 1,
                               .min_out = 1, .max_out = 1, .shape = swap_shape, .run = swap_run,
                               .reverse = swap_reverse};

MAP_SMOOTH(scale, p0 * x, p0)

static enum tamis_status scale_parse(struct op_parse *p, void **attr)
{
	static const struct map_param params[] = {{"alpha", 1}, {NULL, 0}};

	return map_parse(p, params, attr);
}

static const struct op scale_row = {.name = "scale", .domain = "", .since = 1, .until = OP_LATEST, .min_in =
                                    1,
                                    .max_in = 1, .min_out = 1, .max_out = 1, .parse = scale_parse,
                                    .shape = scale_shape, .run = scale_run, .reverse = scale_reverse};

static enum tamis_status matmul_parse(struct op_parse *p, void **attr)
{
	static const char *const batches[] = {"transBatchA", "transBatchB"}, *const swaps[] = {"transA",
	                                                                                       "transB"};
	struct compose_attr scale[] = {{.name = "alpha", .kind = COMPOSE_FLOAT}, {0}};
	struct compose_stage product = {.name = "MatMul", .opset = OPSET, PORTS(0, 1), .n_out = 1, .out =
	                                {OUT(0)}};
	enum tamis_status s = attr_float(p, "alpha", 1, &scale[0].f);
	bool yes = false;

	for (int i = 0; !s && i < 2; i++) {
		s = attr_bool(p, batches[i], false, &yes);
		if (!s && yes)
			s = tm_fail(p->err, TAMIS_E_UNSUPPORTED, "FusedMatMul with %s is not supported", batches[i]);
		if (!s)
			s = attr_bool(p, swaps[i], false, &yes);
		if (s || !yes)
			continue;
		product.in[i] = T(i);
		s = compose_add(p, attr, &(struct compose_stage){.op = &swap, .opset = OPSET, PORTS(i), .n_out = 1,
		                                                 .out = {T(i)}});
	}
	if (!s && scale[0].f != 1)
		product.out[0] = T(2);
	if (!s)
		s = compose_add(p, attr, &product);
	if (s || scale[0].f == 1)
		return s;
	return compose_add(p, attr, &(struct compose_stage){.op = &scale_row, .opset = OPSET, .attrs = scale,
	                                                    PORTS(T(2)),
	                                                    .n_out = 1, .out = {OUT(0)}});
}

/* ---- Normalizations ---- */

static int wanted(const struct op_parse *p, int most)
{
	return p->node->n_out < most ? p->node->n_out : most;
}

/* Inputs are data, skip and gamma; the sum is output 3. bias: position of the bias; beta: of beta, or
 * COMPOSE_NONE. */
static enum tamis_status skip_norm(struct op_parse *p, void **attr, const char *norm, int bias, int beta)
{
	struct compose_attr attrs[] = {{.name = "epsilon", .kind = COMPOSE_FLOAT}, {0}};
	struct compose_stage stage = {.name = norm, .opset = OPSET, .attrs = attrs, PORTS(OUT(3), 2, beta),
	                              .n_out = beta == COMPOSE_NONE ? 1 : wanted(p, 3), .out = {OUT(0), OUT(1),
	                                                                                        OUT(2)}};
	enum tamis_status s = attr_float(p, "epsilon", 1e-12f, &attrs[0].f);

	if (beta == COMPOSE_NONE || !compose_has(p, beta))
		stage.n_in = 2;
	if (!s)
		s = compose_add(p, attr, ADD(0, 1, compose_has(p, bias) ? T(0) : OUT(3)));
	if (!s && compose_has(p, bias))
		s = compose_add(p, attr, ADD(T(0), bias, OUT(3)));
	return s ? s : compose_add(p, attr, &stage);
}

static enum tamis_status skip_layer_parse(struct op_parse *p, void **attr)
{
	return skip_norm(p, attr, "LayerNormalization", 4, 3);
}

static enum tamis_status skip_simplified_parse(struct op_parse *p, void **attr)
{
	return skip_norm(p, attr, "RMSNormalization", 3, COMPOSE_NONE);
}

static enum tamis_status simplified_parse(struct op_parse *p, void **attr)
{
	return compose_add(p, attr, &(struct compose_stage){.name = "RMSNormalization", .opset = OPSET, .own =
	                                                    true,
	                                                    PORTS(0, 1), .n_out = 1, .out = {OUT(0)}});
}

/* ---- EmbedLayerNormalization ---- */

/* The first rows of a table, as many as the second input has columns. */
static enum tamis_status head_shape(struct op_call *c)
{
	const struct tensor *table = c->in[0], *ids = c->in[1];

	if (table->rank != 2 || ids->rank != 2 || ids->dims[1] > table->dims[0])
		return tm_fail(c->err, TAMIS_E_INVALID,
		               "a table of positions must have a row for each column of the identifiers");
	return op_set_out(c, 0, table->type, 2, (int64_t[]){ids->dims[1], table->dims[1]});
}

static enum tamis_status head_run(struct op_call *c)
{
	if (c->out[0]->count)
		memcpy(c->out[0]->data, c->in[0]->data, tensor_bytes(c->out[0]));
	return TAMIS_OK;
}

static enum tamis_status head_reverse(struct op_grad *g)
{
	struct strided all;

	if (!g->gout[0] || !g->gin[0])
		return TAMIS_OK;
	strided_init(&all, 2, g->gout[0]->dims);
	strided_add(&all, g->gin[0]->type, g->gout[0]->data, g->gin[0]->data);
	return TAMIS_OK;
}

static const struct op head = {.name = "head", .domain = "", .since = 1, .until = OP_LATEST, .min_in = 2,
                               .max_in = 2,
                               .min_out = 1, .max_out = 1, .shape = head_shape, .run = head_run,
                               .reverse = head_reverse};

/* Ones in each row of a mask. */
static enum tamis_status length_shape(struct op_call *c)
{
	if (c->in[0]->rank != 2 || c->in[0]->type != DT_INT32)
		return tm_fail(c->err, TAMIS_E_INVALID, "the mask must be int32 of rank 2; it is %s of rank %d",
		               dtype_name((int)c->in[0]->type), c->in[0]->rank);
	return op_set_out(c, 0, DT_INT32, 1, c->in[0]->dims);
}

static enum tamis_status length_run(struct op_call *c)
{
	const int32_t *mask = c->in[0]->data;
	int32_t *length = c->out[0]->data;

	for (int64_t i = 0; i < c->out[0]->count; i++) {
		length[i] = 0;
		for (int64_t j = 0; j < c->in[0]->dims[1]; j++)
			length[i] += mask[i * c->in[0]->dims[1] + j] == 1;
	}
	return TAMIS_OK;
}

static const struct op length = {.name = "length", .domain = "", .since = 1, .until = OP_LATEST, .min_in = 1,
                                 .max_in = 1, .min_out = 1, .max_out = 1, .shape = length_shape, .run =
                                 length_run};

enum { IDS, SEGMENT_IDS, WORDS, POSITIONS, SEGMENTS, GAMMA, BETA, MASK, POSITION_IDS };

static enum tamis_status embed_parse(struct op_parse *p, void **attr)
{
	struct compose_attr attrs[] = {{.name = "epsilon", .kind = COMPOSE_FLOAT}, {0}};
	const struct compose_stage words = {.name = "Gather", .opset = OPSET, PORTS(WORDS, IDS), .n_out = 1,
	                                    .out = {T(0)}};
	const struct compose_stage places = {.name = "Gather", .opset = OPSET, PORTS(POSITIONS, POSITION_IDS),
	                                     .n_out = 1,
	                                     .out = {T(1)}};
	const struct compose_stage first = {.op = &head, .opset = OPSET, PORTS(POSITIONS, IDS), .n_out = 1, .out =
	                                    {T(1)}};
	const struct compose_stage segments = {.name = "Gather", .opset = OPSET, PORTS(SEGMENTS, SEGMENT_IDS),
	                                       .n_out = 1,
	                                       .out = {T(2)}};
	const struct compose_stage counts = {.op = &length, .opset = OPSET, PORTS(MASK), .n_out = 1, .out =
	                                     {OUT(1)}};
	const struct compose_stage norm = {.name = "LayerNormalization", .opset = OPSET, .attrs = attrs,
	                                   PORTS(OUT(2), GAMMA, BETA), .n_out = 1, .out = {OUT(0)}};
	bool segmented = compose_has(p, SEGMENT_IDS) && compose_has(p, SEGMENTS);
	enum tamis_status s = attr_float(p, "epsilon", 1e-12f, &attrs[0].f);

	if (!s)
		s = compose_add(p, attr, &words);
	if (!s)
		s = compose_add(p, attr, compose_has(p, POSITION_IDS) ? &places : &first);
	if (!s)
		s = compose_add(p, attr, ADD(T(0), T(1), segmented ? T(3) : OUT(2)));
	if (!s && segmented)
		s = compose_add(p, attr, &segments);
	if (!s && segmented)
		s = compose_add(p, attr, ADD(T(3), T(2), OUT(2)));
	if (!s && compose_has(p, MASK))
		s = compose_add(p, attr, &counts);
	return s ? s : compose_add(p, attr, &norm);
}

#define FUSED(op_domain, op_name, inputs, most_inputs, outputs, parser) \
	{ \
		.name = op_name, .domain = op_domain, .since = 1, .until = OP_LATEST, .min_in = inputs, .max_in = most_inputs, \
		.min_out = 1, .max_out = outputs, .parse = parser, .shape = compose_shape, .run = compose_run, \
		.reverse = compose_reverse \
	}

const struct op ops_fused[] = {
	FUSED("com.microsoft", "BiasGelu", 2, 2, 1, bias_gelu_parse),
	FUSED("com.microsoft", "EmbedLayerNormalization", 7, 9, 3, embed_parse),
	FUSED("com.microsoft", "FastGelu", 1, 2, 1, fast_gelu_parse),
	FUSED("com.microsoft", "FusedConv", 2, 4, 1, conv_parse),
	FUSED("com.microsoft", "FusedGemm", 2, 3, 1, gemm_parse),
	FUSED("com.microsoft", "FusedMatMul", 2, 2, 1, matmul_parse),
	FUSED("com.microsoft", "Gelu", 1, 1, 1, gelu_parse),
	FUSED("com.microsoft", "QuickGelu", 1, 1, 1, quick_gelu_parse),
	FUSED("", "SimplifiedLayerNormalization", 2, 2, 2, simplified_parse),
	FUSED("com.microsoft", "SimplifiedLayerNormalization", 2, 2, 2, simplified_parse),
	FUSED("com.microsoft", "SkipLayerNormalization", 3, 5, 4, skip_layer_parse),
	FUSED("com.microsoft", "SkipSimplifiedLayerNormalization", 3, 4, 4, skip_simplified_parse),
	{.name = "SwiGLU", .domain = "", .since = 28, .until = OP_LATEST, .min_in = 2, .max_in = 2, .min_out = 1,
	 .max_out = 1, .parse = swiglu_parse, .shape = swiglu_shape, .run = compose_run, .reverse =
	 compose_reverse},
	{0},
};
