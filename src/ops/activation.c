/* SPDX-License-Identifier: Apache-2.0 */
/* Activation functions. At a kink the derivative is the one of the right side, except where the left is
 * flat. */
#include <float.h>

#include "ops/aligned.h"
#include "ops/map.h"
#include "ops/vector_math.h"
#include "ops/zip.h"

/* Stable forms of the logistic function and of log(1 + exp(x)). */
#define SIGMOID(x) (1 / (1 + VECTOR_EXP(-(x))))
#define SOFTPLUS(x) (((x) > 0 ? (x) : 0) + log1p(VECTOR_EXP(-fabs(x))))

/* ---- without parameters ---- */

MAP_FLOAT_ROWS(relu, x < 0 ? 0 : x)
MAP_SIGNED_ROWS(relu, x < 0 ? 0 : x)
MAP_FLOAT_SLOPES(relu, x > 0 ? 1 : 0)
static const struct map relu_map = {.row = {MAP_FLOATS(relu), MAP_SIGNED(relu)}, .slope = {MAP_SLOPES(relu)}};
MAP_STEPS_REVERSE(relu)

MAP_SMOOTH(sigmoid, SIGMOID(x), y * (1 - y))
MAP_SMOOTH(tanh, VECTOR_TANH(x), 1 - y * y)
MAP_SMOOTH(softplus, SOFTPLUS(x), SIGMOID(x))
MAP_SMOOTH(softsign, x / (1 + fabs(x)), 1 / ((1 + fabs(x)) * (1 + fabs(x))))

#define HARD_SWISH_SLOPE(x) ((x) <= -3 ? 0 : (x) >= 3 ? 1 : (x) / 3 + (T)0.5)
MAP_SMOOTH(hard_swish, x <= -3 ? 0 : x >= 3 ? x : x * (x / 6 + (T)0.5), HARD_SWISH_SLOPE(x))

/* x t with t = tanh(softplus(x)); the slope is t + x (1 - t^2) sigmoid(x). */
#define MISH_T(x) VECTOR_TANH(SOFTPLUS(x))
MAP_SMOOTH(mish, x * MISH_T(x), MISH_T(x) + x * (1 - MISH_T(x) * MISH_T(x)) * SIGMOID(x))

/* x Phi(x), Phi the normal distribution function; the slope is Phi(x) + x phi(x). */
#define PHI(x) ((T)0.5 * (1 + VECTOR_ERF((x) * (T)0.70710678118654752)))
MAP_FLOAT_ROWS(gelu_erf, x * PHI(x))
MAP_FLOAT_SLOPES(gelu_erf, PHI(x) + x * (T)0.39894228040143268 * VECTOR_EXP((T)-0.5 * x * x))
static const struct map gelu_erf_map = {.row = {MAP_FLOATS(gelu_erf)}, .slope = {MAP_SLOPES(gelu_erf)}};

/* The same with Phi(x) ~ (1 + tanh u) / 2, u = sqrt(2 / pi) (x + 0.044715 x^3). */
#define GELU_TANH(x) VECTOR_TANH((T)0.79788456080286536 * ((x) + (T)0.044715 * (x) * (x) * (x)))
#define GELU_DU(x) ((T)0.79788456080286536 * (1 + 3 * (T)0.044715 * (x) * (x)))
MAP_FLOAT_ROWS(gelu_tanh, (T)0.5 * x * (1 + GELU_TANH(x)))
MAP_FLOAT_SLOPES(gelu_tanh, (T)0.5 * (1 + GELU_TANH(x)) +
                 (T)0.5 * x * (1 - GELU_TANH(x) * GELU_TANH(x)) * GELU_DU(x))
static const struct map gelu_tanh_map = {.row = {MAP_FLOATS(gelu_tanh)}, .slope = {MAP_SLOPES(gelu_tanh)}};

/* The one parameter: whether the tanh form is meant. */
static enum tamis_status gelu_parse(struct op_parse *p, void **attr)
{
	static const char *const forms[] = {"none", "tanh", NULL};
	double *params = arena_array(p->arena, 4, sizeof *params);
	int form = 0;
	enum tamis_status status;

	if (!params)
		return tm_no_memory(p->err, "reading attributes");
	status = attr_choice(p, "approximate", forms, 0, &form);
	params[0] = form;
	*attr = params;
	return status;
}

static const struct map *gelu_map(const struct op_call *c)
{
	return *(const double *)c->node->attr != 0 ? &gelu_tanh_map : &gelu_erf_map;
}

static enum tamis_status gelu_shape(struct op_call *c)
{
	return map_shape(c, gelu_map(c));
}

static enum tamis_status gelu_run(struct op_call *c)
{
	return map_run(c, gelu_map(c));
}

static enum tamis_status gelu_reverse(struct op_grad *g)
{
	return map_reverse(g, gelu_map(g->call));
}

/* ---- with parameters ---- */

#define PARAMS(name, ...) \
	static enum tamis_status name(struct op_parse *p, void **attr) \
	{ \
		static const struct map_param params[] = {__VA_ARGS__, {NULL, 0}}; \
 \
		return map_parse(p, params, attr); \
	}

MAP_SMOOTH(leaky_relu, x < 0 ? p0 * x : x, x < 0 ? p0 : 1)
PARAMS(leaky_relu_parse, {"alpha", 0.01f})

MAP_SMOOTH(elu, x < 0 ? p0 * expm1(x) : x, x < 0 ? y + p0 : 1)
PARAMS(elu_parse, {"alpha", 1})

MAP_SMOOTH(selu, x > 0 ? p1 * x : p1 * p0 * expm1(x), x > 0 ? p1 : y + p1 * p0)
PARAMS(selu_parse, {"alpha", 1.67326319217681884765625f}, {"gamma", 1.05070102214813232421875f})
PARAMS(selu_old_parse, {"alpha", 1.6732f}, {"gamma", 1.0507f})

MAP_SMOOTH(celu, x > 0 ? x : p0 * expm1(x / p0), x > 0 ? 1 : exp(x / p0))
PARAMS(celu_parse, {"alpha", 1})

MAP_SMOOTH(thresholded, x > p0 ? x : 0, x > p0 ? 1 : 0)
PARAMS(thresholded_parse, {"alpha", 1})

#define HARD_SIGMOID(u) ((u) < 0 ? 0 : (u) > 1 ? 1 : (u))
MAP_SMOOTH(hard_sigmoid, HARD_SIGMOID(p0 * x + p1), y > 0 && y < 1 ? p0 : 0)
PARAMS(hard_sigmoid_parse, {"alpha", 0.2f}, {"beta", 0.5f})

MAP_SMOOTH(swish, x * SIGMOID(p0 * x), SIGMOID(p0 * x) * (1 + p0 * x * (1 - SIGMOID(p0 * x))))
PARAMS(swish_parse, {"alpha", 1})

MAP_SMOOTH(shrink, x < -p0 ? x + p1 : x > p0 ? x - p1 : 0, x < -p0 || x > p0 ? 1 : 0)
PARAMS(shrink_parse, {"lambd", 0.5f}, {"bias", 0})

/* ---- PRelu: the slope of the negative side is a tensor ---- */

ZIP_FLOAT_ROWS(prelu, x < 0 ? x * y : x)
ZIP_SIGNED_ROWS(prelu, x < 0 ? (uint64_t)x * (uint64_t)y : (uint64_t)x)
ZIP_ROW(prelu_uint32, uint32_t, uint32_t, y ? x : x)
ZIP_ROW(prelu_uint64, uint64_t, uint64_t, y ? x : x)
ZIP_FLOAT_SLOPES(prelu, x < 0 ? y : 1, x < 0 ? x : 0)
static const struct zip prelu_zip = {
	.row = {ZIP_FLOATS(prelu), ZIP_SIGNED(prelu), [DT_UINT32] = prelu_uint32, [DT_UINT64] = prelu_uint64},
	.left = {ZIP_LEFT(prelu)}, .right = {ZIP_RIGHT(prelu)},
};

static enum tamis_status prelu_shape(struct op_call *c)
{
	enum tamis_status status = zip_check_types(c, &prelu_zip, 2);
	char slope[128], data[128];

	if (status != TAMIS_OK)
		return status;
	if (!broadcast_fits(op_in(c, 1), op_in(c, 0)))
		return tm_fail(c->err, TAMIS_E_INVALID, "the slope of PRelu, %s, does not broadcast to the data, %s",
		               tensor_describe(op_in(c, 1), slope, sizeof slope),
		               tensor_describe(op_in(c, 0), data, sizeof data));
	return op_set_like(c, 0, op_in(c, 0)->type, op_in(c, 0));
}

static enum tamis_status prelu_run(struct op_call *c)
{
	return zip_run(c, &prelu_zip);
}

static enum tamis_status prelu_reverse(struct op_grad *g)
{
	return zip_reverse(g, &prelu_zip);
}

/* ---- Clip: min(max(x, low), high), so that high wins when the bounds cross ---- */

typedef void (*clip_row)(const void *x, void *y, int64_t n, const void *low, const void *high);

#define CLIP_ROW(name, type, lowest, highest) \
	static void name(const void *px, void *py, int64_t n, const void *plow, const void *phigh) \
	{ \
		const type low = plow ? *(const type *)plow : (type)(lowest); \
		const type high = phigh ? *(const type *)phigh : (type)(highest); \
		const type *xs = px; \
		type *ys = py; \
 \
		LOOP_INDEPENDENT \
		for (int64_t i = 0; i < n; i++) { \
			const type x = xs[i]; \
			const type raised = x < low ? low : x; \
 \
			ys[i] = raised > high ? high : raised; \
		} \
	}
CLIP_ROW(clip_float, float, -FLT_MAX, FLT_MAX)
CLIP_ROW(clip_double, double, -DBL_MAX, DBL_MAX)
CLIP_ROW(clip_int8, int8_t, INT8_MIN, INT8_MAX)
CLIP_ROW(clip_int16, int16_t, INT16_MIN, INT16_MAX)
CLIP_ROW(clip_int32, int32_t, INT32_MIN, INT32_MAX)
CLIP_ROW(clip_int64, int64_t, INT64_MIN, INT64_MAX)
CLIP_ROW(clip_uint8, uint8_t, 0, UINT8_MAX)
CLIP_ROW(clip_uint16, uint16_t, 0, UINT16_MAX)
CLIP_ROW(clip_uint32, uint32_t, 0, UINT32_MAX)
CLIP_ROW(clip_uint64, uint64_t, 0, UINT64_MAX)
static const clip_row clip_rows[DT_COUNT] = {MAP_FLOATS(clip), MAP_SIGNED(clip), MAP_UNSIGNED(clip)};

/* Adds the gradients of data, low and high (each may be NULL). */
#define CLIP_SLOPE(name, type) \
	LOOP_VERSIONS static void name##_data(const type *x, const type *g, int64_t n, type low, type high, \
	                                      type *restrict gx) \
	{ \
		for (int64_t i = 0; i < n; i++) { \
			const type raised = x[i] < low ? low : x[i]; \
			const bool outside = (raised > high) | (x[i] < low); \
 \
			gx[i] += outside ? 0 : g[i]; \
		} \
	} \
	static void name(const type *x, const type *g, int64_t n, type low, type high, type *gx, type *glow, \
	                 type *ghigh) \
	{ \
		double low_sum = 0, high_sum = 0; \
 \
		if (gx) \
			name##_data(x, g, n, low, high, gx); \
		for (int64_t i = 0; (glow || ghigh) && i < n; i++) { \
			const type raised = x[i] < low ? low : x[i]; \
 \
			if (raised > high) \
				high_sum += (double)g[i]; \
			else if (x[i] < low) \
				low_sum += (double)g[i]; \
		} \
		if (glow) \
			*glow += (type)low_sum; \
		if (ghigh) \
			*ghigh += (type)high_sum; \
	}
CLIP_SLOPE(clip_slope_float, float)
CLIP_SLOPE(clip_slope_double, double)

static void *gradient(const struct op_grad *g, int i)
{
	return i < g->call->n_in && g->gin[i] ? g->gin[i]->data : NULL;
}

/* low and high: one element of the data's type each, NULL where there is no bound. */
static void clip_add_slopes(const struct op_grad *g, const void *low, const void *high)
{
	const struct tensor *x = op_in(g->call, 0);

	if (x->type == DT_FLOAT)
		clip_slope_float(x->data, g->gout[0]->data, x->count, low ? *(const float *)low : -FLT_MAX,
		                 high ? *(const float *)high : FLT_MAX, gradient(g, 0), gradient(g, 1),
		                 gradient(g, 2));
	else if (x->type == DT_DOUBLE)
		clip_slope_double(x->data, g->gout[0]->data, x->count, low ? *(const double *)low : -DBL_MAX,
		                  high ? *(const double *)high : DBL_MAX, gradient(g, 0), gradient(g, 1),
		                  gradient(g, 2));
}

static enum tamis_status clip_shape(struct op_call *c)
{
	const struct tensor *x = op_in(c, 0);
	bool half = x->type == DT_FLOAT16 || x->type == DT_BFLOAT16;
	char text[128];

	if (!clip_rows[half ? DT_FLOAT : x->type])
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "Clip does not take elements of type %s",
		               dtype_name((int)x->type));
	for (int i = 1; i < 3; i++)
		if (op_in(c, i) && (op_in(c, i)->type != x->type || op_in(c, i)->count != 1))
			return tm_fail(c->err, TAMIS_E_INVALID, "the %s bound of Clip must be one %s; it is %s",
			               i == 1 ? "lower" : "upper", dtype_name((int)x->type),
			               tensor_describe(op_in(c, i), text, sizeof text));
	return op_set_like(c, 0, x->type, x);
}

static const void *bound(const struct op_call *c, int i)
{
	return op_in(c, i) ? op_in(c, i)->data : NULL;
}

static enum tamis_status clip_run(struct op_call *c)
{
	const struct tensor *x = op_in(c, 0);

	clip_rows[x->type](x->data, c->out[0]->data, x->count, bound(c, 1), bound(c, 2));
	return TAMIS_OK;
}

static enum tamis_status clip_reverse(struct op_grad *g)
{
	if (g->gout[0])
		clip_add_slopes(g, bound(g->call, 1), bound(g->call, 2));
	return TAMIS_OK;
}

/* Before opset 11 the bounds are attributes. */
struct clip_bounds {
	float low, high;
	double low_double, high_double;
};

static enum tamis_status clip_old_parse(struct op_parse *p, void **attr)
{
	struct clip_bounds *b = arena_alloc(p->arena, sizeof *b);
	enum tamis_status status;

	if (!b)
		return tm_no_memory(p->err, "reading attributes");
	status = attr_float(p, "min", -FLT_MAX, &b->low);
	if (status == TAMIS_OK)
		status = attr_float(p, "max", FLT_MAX, &b->high);
	b->low_double = (double)b->low;
	b->high_double = (double)b->high;
	*attr = b;
	return status;
}

static enum tamis_status clip_old_shape(struct op_call *c)
{
	const struct tensor *x = op_in(c, 0);

	if (!dtype_is_float((int)x->type))
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "Clip does not take elements of type %s before opset 12",
		               dtype_name((int)x->type));
	return op_set_like(c, 0, x->type, x);
}

static enum tamis_status clip_old_run(struct op_call *c)
{
	const struct clip_bounds *b = c->node->attr;
	const struct tensor *x = op_in(c, 0);

	if (x->type == DT_FLOAT)
		clip_float(x->data, c->out[0]->data, x->count, &b->low, &b->high);
	else
		clip_double(x->data, c->out[0]->data, x->count, &b->low_double, &b->high_double);
	return TAMIS_OK;
}

static enum tamis_status clip_old_reverse(struct op_grad *g)
{
	const struct clip_bounds *b = g->call->node->attr;
	bool single = op_in(g->call, 0)->type == DT_FLOAT;

	if (g->gout[0])
		clip_add_slopes(g, single ? (const void *)&b->low : &b->low_double,
		                single ? (const void *)&b->high : &b->high_double);
	return TAMIS_OK;
}

#define ROW(op_name, first, last, inputs, most_inputs) \
	.name = op_name, .domain = "", .since = first, .until = last, .min_in = inputs, .max_in = most_inputs, \
	.min_out = 1, .max_out = 1, .flags = OP_INPLACE
#define ACTIVATION(op_name, first, last, steps) \
	ROW(op_name, first, last, 1, 1), .channels = channels_elementwise, .shape = steps##_shape, .run = steps##_run, \
	.reverse = steps##_reverse

const struct op ops_activation[] = {
	{ACTIVATION("Celu", 12, OP_LATEST, celu), .parse = celu_parse},
	{ACTIVATION("Clip", 1, 10, clip_old), .parse = clip_old_parse},
	{ROW("Clip", 11, OP_LATEST, 1, 3), .channels = channels_elementwise, .shape = clip_shape, .run = clip_run,
	 .reverse = clip_reverse},
	{ACTIVATION("Elu", 1, OP_LATEST, elu), .parse = elu_parse},
	{ACTIVATION("Gelu", 20, OP_LATEST, gelu), .parse = gelu_parse},
	{ACTIVATION("HardSigmoid", 1, OP_LATEST, hard_sigmoid), .parse = hard_sigmoid_parse},
	{ACTIVATION("HardSwish", 14, OP_LATEST, hard_swish)},
	{ACTIVATION("LeakyRelu", 1, OP_LATEST, leaky_relu), .parse = leaky_relu_parse},
	{ACTIVATION("Mish", 18, OP_LATEST, mish)},
	{.name = "PRelu", ALIGNED_ROW(1, aligned_channel_parse), .reverse = aligned_reverse},
	{ROW("PRelu", 7, OP_LATEST, 2, 2), .channels = channels_elementwise, .shape = prelu_shape, .run = prelu_run,
	 .reverse = prelu_reverse},
	{ACTIVATION("Relu", 1, OP_LATEST, relu)},
	{ACTIVATION("Selu", 1, 5, selu), .parse = selu_old_parse},
	{ACTIVATION("Selu", 6, OP_LATEST, selu), .parse = selu_parse},
	{ACTIVATION("Shrink", 9, OP_LATEST, shrink), .parse = shrink_parse},
	{ACTIVATION("Sigmoid", 1, OP_LATEST, sigmoid)},
	{ACTIVATION("Softplus", 1, OP_LATEST, softplus)},
	{ACTIVATION("Softsign", 1, OP_LATEST, softsign)},
	{ACTIVATION("Swish", 24, OP_LATEST, swish), .parse = swish_parse},
	{ACTIVATION("Tanh", 1, OP_LATEST, tanh)},
	{ACTIVATION("ThresholdedRelu", 10, OP_LATEST, thresholded), .parse = thresholded_parse},
	{0},
};
