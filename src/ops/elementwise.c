/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic of two or more tensors with broadcasting. Integers wrap as two's complement; what C leaves
 * undefined (division by zero, shifts past the width) gives zero, so that no model can stop the process. */
#include <string.h>

#include "ops/aligned.h"
#include "ops/zip.h"

/* ---- add, subtract, multiply, divide ---- */

ZIP_FLOAT_ROWS(add, x + y)
ZIP_SIGNED_ROWS(add, (uint64_t)x + (uint64_t)y)
ZIP_UNSIGNED_ROWS(add, (uint64_t)x + (uint64_t)y)
const struct zip add_zip = {.row = {ZIP_NUMBERS(add)}};
ZIP_STEPS(add)

static enum tamis_status add_reverse(struct op_grad *g)
{
	for (int i = 0; i < 2; i++)
		if (g->gout[0] && g->gin[i])
			broadcast_add(g->gout[0], 1, g->gin[i]);
	return TAMIS_OK;
}

ZIP_FLOAT_ROWS(sub, x - y)
ZIP_SIGNED_ROWS(sub, (uint64_t)x - (uint64_t)y)
ZIP_UNSIGNED_ROWS(sub, (uint64_t)x - (uint64_t)y)
static const struct zip sub_zip = {.row = {ZIP_NUMBERS(sub)}};
ZIP_STEPS(sub)

static enum tamis_status sub_reverse(struct op_grad *g)
{
	for (int i = 0; i < 2; i++)
		if (g->gout[0] && g->gin[i])
			broadcast_add(g->gout[0], i ? -1 : 1, g->gin[i]);
	return TAMIS_OK;
}

ZIP_FLOAT_ROWS(mul, x * y)
ZIP_SIGNED_ROWS(mul, (uint64_t)x * (uint64_t)y)
ZIP_UNSIGNED_ROWS(mul, (uint64_t)x * (uint64_t)y)
ZIP_FLOAT_SLOPES(mul, y, x)
const struct zip mul_zip = {.row = {ZIP_NUMBERS(mul)}, .left = {ZIP_LEFT(mul)}, .right = {ZIP_RIGHT(mul)}};
ZIP_STEPS_REVERSE(mul)

/* -x wraps for y = -1, which x / y may not; the mask makes 0 of it for y = 0. */
static inline int64_t divide_signed(int64_t x, int64_t y)
{
	if (y == 0 || y == -1)
		return (int64_t)(0 - (uint64_t)x) & (int64_t)y;
	return x / y;
}

ZIP_FLOAT_ROWS(div, x / y)
ZIP_SIGNED_ROWS(div, divide_signed(x, y))
ZIP_UNSIGNED_ROWS(div, y ? x / y : 0)
ZIP_FLOAT_SLOPES(div, 1 / y, -x / (y * y))
static const struct zip div_zip = {
	.row = {ZIP_NUMBERS(div)}, .left = {ZIP_LEFT(div)}, .right = {ZIP_RIGHT(div)}};
ZIP_STEPS_REVERSE(div)

/* ---- remainders ---- */

/* Sign of the divisor, as in Python. */
static inline int64_t modulo_signed(int64_t x, int64_t y)
{
	int64_t r = y == 0 || y == -1 ? 0 : x % y;

	return r != 0 && (r < 0) != (y < 0) ? r + y : r;
}

/* Sign of the dividend, as in C. */
static inline int64_t remainder_signed(int64_t x, int64_t y)
{
	return y == 0 || y == -1 ? 0 : x % y;
}

/* The same for floats, by way of the exact fmod; a zero takes the sign of the divisor too. */
#define MODULO(r, y) ((r) == 0 ? copysign((r), (y)) : ((r) < 0) != ((y) < 0) ? (r) + (y) : (r))
ZIP_FLOAT_ROWS(modulo, MODULO(fmod(x, y), y))
ZIP_FLOAT_SLOPES(modulo, 1, -floor(x / y))
ZIP_SIGNED_ROWS(modulo, modulo_signed(x, y))
ZIP_SIGNED_ROWS(rest, remainder_signed(x, y))
ZIP_UNSIGNED_ROWS(rest, y ? x % y : 0)
ZIP_FLOAT_ROWS(rest, fmod(x, y))
ZIP_FLOAT_SLOPES(rest, 1, -trunc(x / y))
static const struct zip modulo_zip = {
	.row = {ZIP_FLOATS(modulo), ZIP_SIGNED(modulo), ZIP_UNSIGNED(rest)},
	.left = {ZIP_LEFT(modulo)}, .right = {ZIP_RIGHT(modulo)},
};
static const struct zip rest_zip = {
	.row = {ZIP_NUMBERS(rest)}, .left = {ZIP_LEFT(rest)}, .right = {ZIP_RIGHT(rest)},
};

static enum tamis_status mod_parse(struct op_parse *p, void **attr)
{
	bool fmod_wanted;
	enum tamis_status status = attr_bool(p, "fmod", false, &fmod_wanted);

	*attr = (void *)(fmod_wanted ? &rest_zip : &modulo_zip);
	return status;
}

static enum tamis_status mod_shape(struct op_call *c)
{
	if (c->node->attr == &modulo_zip && c->node->opset < 28 && dtype_is_float((int)op_in(c, 0)->type))
		return tm_fail(c->err, TAMIS_E_INVALID, "Mod of %s elements needs fmod = 1 before opset 28; it is 0",
		               dtype_name((int)op_in(c, 0)->type));
	return zip_shape(c, c->node->attr);
}

static enum tamis_status mod_run(struct op_call *c)
{
	return zip_run(c, c->node->attr);
}

static enum tamis_status mod_reverse(struct op_grad *g)
{
	return zip_reverse(g, g->call->node->attr);
}

/* ---- powers ---- */

static inline uint64_t power_unsigned(uint64_t x, uint64_t y)
{
	uint64_t power = 1;

	for (; y; y >>= 1, x *= x)
		if (y & 1)
			power *= x;
	return power;
}

/* The true value rounded toward zero, wrapped: 0 for negative exponents except of 1 and -1. */
static inline uint64_t power_signed(int64_t x, int64_t y)
{
	if (y >= 0)
		return power_unsigned((uint64_t)x, (uint64_t)y);
	if (x == 1 || x == -1)
		return (uint64_t)(x == -1 && y % 2 != 0 ? -1 : 1);
	return 0;
}

ZIP_FLOAT_ROWS(pow, pow(x, y))
ZIP_SIGNED_ROWS(pow, power_signed(x, y))
ZIP_UNSIGNED_ROWS(pow, power_unsigned(x, y))
ZIP_FLOAT_SLOPES(pow, y == 0 ? 0 : y * pow(x, y - 1), x > 0 ? pow(x, y) * log(x) : 0)
static const struct zip pow_zip = {
	.row = {ZIP_NUMBERS(pow)}, .left = {ZIP_LEFT(pow)}, .right = {ZIP_RIGHT(pow)}};

/* Base and exponent may differ in type; the result has the base's. */
static enum tamis_status pow_shape(struct op_call *c)
{
	int64_t dims[TENSOR_MAX_RANK];
	enum tamis_status status;
	int rank;

	for (int i = 0; i < 2; i++) {
		enum dtype type = op_in(c, i)->type;

		if (!dtype_is_float((int)type) && !pow_zip.row[type])
			return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "Pow does not take elements of type %s",
			               dtype_name((int)type));
	}
	status = broadcast_shape(c->in, 2, &rank, dims, c->err);
	return status == TAMIS_OK ? op_set_out(c, 0, op_in(c, 0)->type, rank, dims) : status;
}

/* t in another type, in scratch memory; t itself when it has that type. */
static enum tamis_status in_type(struct op_call *c, const struct tensor *t, enum dtype type,
                                 struct tensor *out)
{
	*out = *t;
	if (t->type == type)
		return TAMIS_OK;
	out->type = type;
	out->data = scratch_alloc(c->scratch, tensor_bytes(out), 1);
	if (!out->data)
		return tm_no_memory(c->err, "converting an exponent");
	return tensor_convert(t, out, c->err);
}

/* The type to compute in: a float base keeps its own, two integers meet in int64, the rest in double. */
static enum dtype pow_type(enum dtype base, enum dtype exponent)
{
	if (base == exponent || dtype_is_float((int)base))
		return base;
	return dtype_is_float((int)exponent) ? DT_DOUBLE : DT_INT64;
}

static enum tamis_status pow_run(struct op_call *c)
{
	struct tensor a, b, z = *c->out[0];
	enum dtype type = pow_type(op_in(c, 0)->type, op_in(c, 1)->type);
	enum tamis_status status = in_type(c, op_in(c, 0), type, &a);

	if (status == TAMIS_OK)
		status = in_type(c, op_in(c, 1), type, &b);
	if (status != TAMIS_OK)
		return status;
	z.type = type;
	if (type != c->out[0]->type)
		z.data = scratch_alloc(c->scratch, tensor_bytes(&z), 1);
	if (!z.data)
		return tm_no_memory(c->err, "raising to a power");
	if (b.count == 1 && tensor_get(&b, 0) == 2)
		zip_apply(&mul_zip, &a, &a, &z);
	else
		zip_apply(&pow_zip, &a, &b, &z);
	return z.data == c->out[0]->data ? TAMIS_OK : tensor_convert(&z, c->out[0], c->err);
}

/* A gradient reaches an exponent only when it has the base's type; others are cast constants in practice. */
static enum tamis_status pow_reverse(struct op_grad *g)
{
	const struct tensor *base = op_in(g->call, 0);
	struct tensor exponent;
	const struct tensor *in[] = {base, &exponent};
	struct tensor *gin[] = {g->gin[0], op_in(g->call, 1)->type == base->type ? g->gin[1] : NULL};
	struct op_call call = *g->call;
	struct op_grad same = {.call = &call, .gout = g->gout, .gin = gin};
	enum tamis_status status;

	if (!g->gout[0] || !dtype_is_float((int)base->type))
		return TAMIS_OK;
	status = in_type(g->call, op_in(g->call, 1), base->type, &exponent);
	call.in = in;
	return status == TAMIS_OK ? zip_reverse(&same, &pow_zip) : status;
}

/* ---- bits ---- */

ZIP_SIGNED_ROWS(bit_and, x & y)
ZIP_UNSIGNED_ROWS(bit_and, x & y)
static const struct zip bit_and_zip = {.row = {ZIP_SIGNED(bit_and), ZIP_UNSIGNED(bit_and)}};
ZIP_STEPS(bit_and)

ZIP_SIGNED_ROWS(bit_or, x | y)
ZIP_UNSIGNED_ROWS(bit_or, x | y)
static const struct zip bit_or_zip = {.row = {ZIP_SIGNED(bit_or), ZIP_UNSIGNED(bit_or)}};
ZIP_STEPS(bit_or)

ZIP_SIGNED_ROWS(bit_xor, x ^ y)
ZIP_UNSIGNED_ROWS(bit_xor, x ^ y)
static const struct zip bit_xor_zip = {.row = {ZIP_SIGNED(bit_xor), ZIP_UNSIGNED(bit_xor)}};
ZIP_STEPS(bit_xor)

ZIP_UNSIGNED_ROWS(shift_left, y < 8 * sizeof(T) ? (uint64_t)x << y : 0)
ZIP_UNSIGNED_ROWS(shift_right, y < 8 * sizeof(T) ? (uint64_t)x >> y : 0)
ZIP_SIGNED_ROWS(shift_left, y >= 0 && y < 8 * (int)sizeof(T) ? (uint64_t)x << y : 0)
ZIP_SIGNED_ROWS(shift_right, x >> (y >= 0 && y < 8 * (int)sizeof(T) ? y : (T)(8 * sizeof(T) - 1)))
static const struct zip shift_left_zip = {.row = {ZIP_SIGNED(shift_left), ZIP_UNSIGNED(shift_left)}};
static const struct zip shift_right_zip = {.row = {ZIP_SIGNED(shift_right), ZIP_UNSIGNED(shift_right)}};

static enum tamis_status shift_parse(struct op_parse *p, void **attr)
{
	static const char *const directions[] = {"LEFT", "RIGHT", NULL};
	int direction = 0;
	enum tamis_status status = attr_required(p, "direction");

	if (status == TAMIS_OK)
		status = attr_choice(p, "direction", directions, 0, &direction);
	*attr = (void *)(direction ? &shift_right_zip : &shift_left_zip);
	return status;
}

/* Signed integers from opset 28 on; their sign fills from the left. */
static enum tamis_status shift_shape(struct op_call *c)
{
	enum dtype type = op_in(c, 0)->type;

	if (c->node->opset < 28 && dtype_kind((int)type) == 'i')
		return tm_fail(c->err, TAMIS_E_INVALID, "BitShift of %s elements needs opset 28; the model imports %lld",
		               dtype_name((int)type), (long long)c->node->opset);
	return zip_shape(c, c->node->attr);
}

static enum tamis_status shift_run(struct op_call *c)
{
	return zip_run(c, c->node->attr);
}

/* ---- any number of inputs ---- */

/* NaN wins, as in NumPy; | instead of || keeps the loop free of branches. */
ZIP_FLOAT_ROWS(max, ((x > y) | (x != x)) ? x : y)
ZIP_SIGNED_ROWS(max, x > y ? x : y)
ZIP_UNSIGNED_ROWS(max, x > y ? x : y)
static const struct zip max_zip = {.row = {ZIP_NUMBERS(max)}};

ZIP_FLOAT_ROWS(min, ((x < y) | (x != x)) ? x : y)
ZIP_SIGNED_ROWS(min, x < y ? x : y)
ZIP_UNSIGNED_ROWS(min, x < y ? x : y)
static const struct zip min_zip = {.row = {ZIP_NUMBERS(min)}};

static enum tamis_status variadic_shape(struct op_call *c, const struct zip *z)
{
	int64_t dims[TENSOR_MAX_RANK];
	enum tamis_status status;
	int rank;

	for (int i = 0; i < c->n_in; i++)
		if (!op_in(c, i))
			return tm_fail(c->err, TAMIS_E_INVALID, "%s takes no absent inputs; input %d is absent",
			               c->node->op->name, i);
	status = zip_check_types(c, z, c->n_in);
	if (status == TAMIS_OK)
		status = broadcast_shape(c->in, c->n_in, &rank, dims, c->err);
	return status == TAMIS_OK ? op_set_out(c, 0, op_in(c, 0)->type, rank, dims) : status;
}

/* ((in0 . in1) . in2) . ...; the result is its own left operand from the third input on. */
static void fold(struct op_call *c, const struct zip *z)
{
	if (c->n_in == 1)
		broadcast_copy(op_in(c, 0), c->out[0]);
	else
		zip_apply(z, op_in(c, 0), op_in(c, 1), c->out[0]);
	for (int i = 2; i < c->n_in; i++)
		zip_apply(z, c->out[0], op_in(c, i), c->out[0]);
}

static enum tamis_status max_shape(struct op_call *c)
{
	return variadic_shape(c, &max_zip);
}

static enum tamis_status max_run(struct op_call *c)
{
	fold(c, &max_zip);
	return TAMIS_OK;
}

static enum tamis_status min_shape(struct op_call *c)
{
	return variadic_shape(c, &min_zip);
}

static enum tamis_status min_run(struct op_call *c)
{
	fold(c, &min_zip);
	return TAMIS_OK;
}

/* Where input x equals the result and no earlier input took the gradient, it goes to x. */
#define WINNER(name, type) \
	static void name(const type *x, int64_t sx, const type *z, const type *g, uint8_t *taken, type *gx, \
	                 int64_t n) \
	{ \
		for (int64_t i = 0; i < n; i++) { \
			if (taken[i] || x[i * sx] != z[i]) \
				continue; \
			taken[i] = 1; \
			if (gx) \
				gx[i * sx] += g[i]; \
		} \
	}
WINNER(winner_float, float)
WINNER(winner_double, double)

static void give_to_winner(const struct op_grad *g, int which, uint8_t *taken)
{
	const struct tensor *x = op_in(g->call, which), *z = g->call->out[0], *gz = g->gout[0];
	struct tensor *gx = g->gin[which];
	struct broadcast w;

	for (bool more = broadcast_start(&w, z, &x, 1); more; more = broadcast_next(&w)) {
		int64_t at = w.at[0], out = w.out;

		if (x->type == DT_FLOAT)
			winner_float((const float *)x->data + at, w.step[0], (const float *)z->data + out,
			             (const float *)gz->data + out, taken + out, gx ? (float *)gx->data + at : NULL,
			             w.row);
		else
			winner_double((const double *)x->data + at, w.step[0], (const double *)z->data + out,
			              (const double *)gz->data + out, taken + out, gx ? (double *)gx->data + at : NULL,
			              w.row);
	}
}

/* Of Max and Min: each element's gradient goes to the first input that has the winning value. */
static enum tamis_status extreme_reverse(struct op_grad *g)
{
	uint8_t *taken;

	if (!g->gout[0])
		return TAMIS_OK;
	taken = scratch_alloc(g->call->scratch, (size_t)g->gout[0]->count, 1);
	if (!taken)
		return tm_no_memory(g->call->err, "reversing a maximum");
	memset(taken, 0, (size_t)g->gout[0]->count);
	for (int i = 0; i < g->call->n_in; i++)
		give_to_winner(g, i, taken);
	return TAMIS_OK;
}

static const struct zip sum_zip = {.row = {ZIP_FLOATS(add)}};

static enum tamis_status sum_shape(struct op_call *c)
{
	return variadic_shape(c, &sum_zip);
}

static enum tamis_status sum_run(struct op_call *c)
{
	fold(c, &sum_zip);
	return TAMIS_OK;
}

static enum tamis_status sum_reverse(struct op_grad *g)
{
	for (int i = 0; i < g->call->n_in; i++)
		if (g->gout[0] && g->gin[i])
			broadcast_add(g->gout[0], 1, g->gin[i]);
	return TAMIS_OK;
}

static enum tamis_status mean_run(struct op_call *c)
{
	float single = (float)c->n_in;
	double number = c->n_in;
	struct tensor n = {.type = c->out[0]->type, .count = 1,
	                   .data = c->out[0]->type == DT_FLOAT ? (void *)&single : &number};

	fold(c, &sum_zip);
	zip_apply(&div_zip, c->out[0], &n, c->out[0]);
	return TAMIS_OK;
}

static enum tamis_status mean_reverse(struct op_grad *g)
{
	for (int i = 0; i < g->call->n_in; i++)
		if (g->gout[0] && g->gin[i])
			broadcast_add(g->gout[0], 1.0 / g->call->n_in, g->gin[i]);
	return TAMIS_OK;
}

#define BINARY(op_name, first, steps) \
	.name = op_name, .domain = "", .since = first, .until = OP_LATEST, .min_in = 2, .max_in = 2, \
	.min_out = 1, .max_out = 1, .flags = OP_INPLACE, .channels = channels_elementwise, .shape = steps##_shape, \
	.run = steps##_run
#define VARIADIC(op_name, steps) \
	.name = op_name, .domain = "", .since = 1, .until = OP_LATEST, .min_in = 1, .max_in = -1, .min_out = 1, \
	.max_out = 1, .flags = OP_INPLACE, .channels = channels_elementwise, .shape = steps##_shape

/* NumPy's broadcasting replaced the axis attribute of two-input arithmetic at opset 7; the variadic ones took equal
 * shapes before opset 8, which broadcasting includes. */
const struct op ops_elementwise[] = {
	{.name = "Add", ALIGNED_ROW(1, aligned_parse), .reverse = aligned_reverse},
	{BINARY("Add", 7, add), .reverse = add_reverse},
	{.name = "BitShift", .domain = "", .since = 11, .until = OP_LATEST, .min_in = 2, .max_in = 2, .min_out = 1,
	 .max_out = 1, .flags = OP_INPLACE, .channels = channels_elementwise, .parse = shift_parse,
	 .shape = shift_shape, .run = shift_run},
	{BINARY("BitwiseAnd", 18, bit_and)},
	{BINARY("BitwiseOr", 18, bit_or)},
	{BINARY("BitwiseXor", 18, bit_xor)},
	{.name = "Div", ALIGNED_ROW(1, aligned_parse), .reverse = aligned_reverse},
	{BINARY("Div", 7, div), .reverse = div_reverse},
	{VARIADIC("Max", max), .run = max_run, .reverse = extreme_reverse},
	{VARIADIC("Mean", sum), .run = mean_run, .reverse = mean_reverse},
	{VARIADIC("Min", min), .run = min_run, .reverse = extreme_reverse},
	{BINARY("Mod", 10, mod), .parse = mod_parse, .reverse = mod_reverse},
	{.name = "Mul", ALIGNED_ROW(1, aligned_parse), .reverse = aligned_reverse},
	{BINARY("Mul", 7, mul), .reverse = mul_reverse},
	{.name = "Pow", ALIGNED_ROW(1, aligned_parse), .reverse = aligned_reverse},
	{BINARY("Pow", 7, pow), .reverse = pow_reverse},
	{.name = "Sub", ALIGNED_ROW(1, aligned_parse), .reverse = aligned_reverse},
	{BINARY("Sub", 7, sub), .reverse = sub_reverse},
	{VARIADIC("Sum", sum), .run = sum_run, .reverse = sum_reverse},
	{0},
};
