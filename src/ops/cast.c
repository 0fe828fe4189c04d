/* SPDX-License-Identifier: Apache-2.0 */
/* Cast and CastLike between numbers and bool. The conversions themselves are tensor_convert's; here are
 * the rules that an attribute can change. */
#include <math.h>
#include <string.h>

#include "ops/args.h"
#include "ops/family.h"

struct cast_attr { int64_t to; bool saturate; int round_mode; }; /* to 0: the type of input 1 */

enum { ROUND_UP, ROUND_DOWN, ROUND_NEAREST };

static enum tamis_status like_parse(struct op_parse *p, void **attr)
{
	static const char *const modes[] = {"up", "down", "nearest", NULL};
	struct cast_attr *a = *attr = args_alloc(p, sizeof *a);
	enum tamis_status status;

	if (!a)
		return TAMIS_E_MEMORY;
	status = attr_bool(p, "saturate", true, &a->saturate);
	return status ? status : attr_choice(p, "round_mode", modes, ROUND_UP, &a->round_mode);
}

static enum tamis_status cast_parse(struct op_parse *p, void **attr)
{
	struct cast_attr *a;
	enum tamis_status status = like_parse(p, attr);

	if (!status)
		status = attr_required(p, "to");
	if (status)
		return status;
	a = *attr;
	status = attr_int(p, "to", 0, &a->to);
	if (!status && (a->to <= 0 || a->to >= DT_COUNT || !dtype_known((int)a->to)))
		return tm_fail(p->err, TAMIS_E_INVALID, "'to' is %lld, which is not a data type", (long long)a->to);
	return status;
}

/* Before opset 6 the type is named. */
static enum tamis_status cast_named_parse(struct op_parse *p, void **attr)
{
#define X(name, number, bits, type, kind, descr) [number] = #name,
	static const char *const types[] = {"UNDEFINED", DTYPE_LIST(X) NULL};
#undef X
	struct cast_attr *a = *attr = args_alloc(p, sizeof *a);
	int to;
	enum tamis_status status;

	if (!a)
		return TAMIS_E_MEMORY;
	a->saturate = true;
	status = attr_choice(p, "to", types, DT_UNDEFINED, &to);
	if (!status && to == DT_UNDEFINED)
		return tm_fail(p->err, TAMIS_E_INVALID, "Cast names no data type in 'to'");
	a->to = to;
	return status;
}

static bool castable(enum dtype type)
{
	return type != DT_STRING && type != DT_COMPLEX64 && type != DT_COMPLEX128;
}

static enum tamis_status cast_shape(struct op_call *c)
{
	const struct cast_attr *a = c->node->attr;
	enum dtype from = c->in[0]->type, to = a->to ? (enum dtype)a->to : c->in[1]->type;

	if (!castable(from) || !castable(to))
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "casting %s to %s is not supported",
		               dtype_name((int)from), dtype_name((int)to));
	if (to == DT_FLOAT8E8M0 && (a->round_mode != ROUND_UP || !a->saturate))
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED,
		               "casting to %s is supported rounding up and saturating only", dtype_name((int)to));
	return op_set_like(c, 0, to, c->in[0]);
}

/* Least magnitude that no longer rounds to the largest finite value, and the word (without sign) that it
 * becomes when not saturating: infinity where the type has one, else NaN. False for other types. */
static bool overflow_rule(enum dtype type, double *beyond, unsigned *word)
{
	switch (type) {
	case DT_FLOAT8E4M3FN:
		*beyond = nextafter(464, INFINITY); /* 464 ties to 448, which is even */
		*word = 0x7f;
		return true;
	case DT_FLOAT8E5M2:
		*beyond = 61440;
		*word = 0x7c;
		return true;
	case DT_FLOAT8E4M3FNUZ:
		*beyond = 248;
		*word = 0x80;
		return true;
	case DT_FLOAT8E5M2FNUZ:
		*beyond = 61440;
		*word = 0x80;
		return true;
	default:
		return false;
	}
}

static void overflow(const struct tensor *x, struct tensor *y)
{
	double beyond;
	unsigned word;

	if (!overflow_rule(y->type, &beyond, &word))
		return;
	for (int64_t i = 0; i < y->count; i++) {
		double v = tensor_get(x, i);

		if (fabs(v) >= beyond)
			((uint8_t *)y->data)[i] = (uint8_t)(word | (signbit(v) ? 0x80U : 0));
	}
}

static enum tamis_status cast_run(struct op_call *c)
{
	const struct cast_attr *a = c->node->attr;
	enum tamis_status status;

	if (!c->out[0])
		return TAMIS_OK;
	status = tensor_convert(c->in[0], c->out[0], c->err);
	if (!status && !a->saturate)
		overflow(c->in[0], c->out[0]);
	return status;
}

/* Between float types a cast is the identity; through anything else no gradient passes. */
static enum tamis_status cast_reverse(struct op_grad *g)
{
	const struct tensor *gy = g->gout[0], *x = g->call->in[0], *y = g->call->out[0];
	struct tensor *gx = g->gin[0];

	if (!gy || !gx || !dtype_is_float((int)x->type) || !dtype_is_float((int)(y ? y->type : gy->type)))
		return TAMIS_OK;
	for (int64_t i = 0; i < gx->count; i++)
		if (gx->type == DT_FLOAT)
			((float *)gx->data)[i] += (float)tensor_get(gy, i);
		else
			((double *)gx->data)[i] += tensor_get(gy, i);
	return TAMIS_OK;
}

/* ---- BitCast: the same bits under another name ---- */

static enum tamis_status bits_shape(struct op_call *c)
{
	const struct cast_attr *a = c->node->attr;
	enum dtype from = c->in[0]->type, to = (enum dtype)a->to;

	if (from == DT_STRING || dtype_bits((int)from) != dtype_bits((int)to))
		return tm_fail(c->err, TAMIS_E_INVALID, "the bits of %s are not those of %s", dtype_name((int)from),
		               dtype_name((int)to));
	if (to == DT_BOOL && from != DT_BOOL)
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "the bits of %s as bool are not supported: a bool is 0 or 1",
		               dtype_name((int)from));
	return op_set_like(c, 0, to, c->in[0]);
}

static enum tamis_status bits_run(struct op_call *c)
{
	if (c->out[0] && c->out[0]->count)
		memcpy(c->out[0]->data, c->in[0]->data, tensor_bytes(c->out[0]));
	return TAMIS_OK;
}

#define CAST .name = "Cast", .domain = "", .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1, .flags = OP_ANY_BITS, \
	.channels = channels_elementwise, .shape = cast_shape, .run = cast_run, .reverse = cast_reverse

const struct op ops_cast[] = {
	{.name = "BitCast", .domain = "", .since = 26, .until = OP_LATEST, .min_in = 1, .max_in = 1, .min_out = 1,
	 .max_out = 1, .flags = OP_ANY_BITS, .parse = cast_parse, .shape = bits_shape, .run = bits_run},
	{CAST, .since = 1, .until = 5, .parse = cast_named_parse},
	{CAST, .since = 6, .until = OP_LATEST, .parse = cast_parse},
	{.name = "CastLike", .domain = "", .since = 15, .until = OP_LATEST, .min_in = 2, .max_in = 2,
	 .min_out = 1, .max_out = 1, .flags = OP_ANY_BITS, .parse = like_parse, .shape = cast_shape,
	 .run = cast_run, .reverse = cast_reverse},
	{0},
};
