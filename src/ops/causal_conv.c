/* SPDX-License-Identifier: Apache-2.0 */
/* CausalConvWithState: each channel convolved along time with a kernel of its own that looks back only, the last
 * positions handed on to the next call. */
#include <math.h>

#include "ops/args.h"
#include "ops/family.h"
#include "ops/reals.h"

enum { X, WEIGHT, BIAS, PAST, INPUTS };
enum { Y, PRESENT };

static enum tamis_status causal_parse(struct op_parse *p, void **attr)
{
	static const char *const names[] = {"none", "silu", "swish", NULL};
	int *activation = *attr = args_alloc(p, sizeof *activation);

	return activation ? attr_choice(p, "activation", names, 0, activation) : TAMIS_E_MEMORY;
}

static bool has_silu(const struct op_call *c)
{
	return *(const int *)c->node->attr != 0;
}

/* rows: items x channels; k: of the kernel. */
struct causal { int64_t rows, channels, length, k; };

static struct causal sizes_of(const struct op_call *c)
{
	const struct tensor *x = c->in[X];

	return (struct causal){x->dims[0] * x->dims[1], x->dims[1], x->dims[2], c->in[WEIGHT]->dims[2]};
}

static enum tamis_status causal_shape(struct op_call *c)
{
	const struct tensor *x = c->in[X], *w = c->in[WEIGHT], *bias = op_in(c, BIAS), *past = op_in(c, PAST);
	enum tamis_status s;

	for (int i = 0; i < INPUTS; i++)
		if (op_in(c, i) && (!dtype_is_float((int)op_in(c, i)->type) || op_in(c, i)->type != x->type))
			return tm_fail(c->err, TAMIS_E_INVALID, "CausalConvWithState takes floats of one type; input %d is %s", i,
			               dtype_name((int)op_in(c, i)->type));
	if (x->rank != 3 || w->rank != 3 || w->dims[0] != x->dims[1] || w->dims[1] != 1 || w->dims[2] < 1)
		return tm_fail(c->err, TAMIS_E_INVALID,
		               "CausalConvWithState takes [batch, channels, length] and a weight of [channels, 1, k]");
	if (bias && (bias->rank != 1 || bias->dims[0] != x->dims[1]))
		return tm_fail(c->err, TAMIS_E_INVALID, "the bias must have one element a channel, %lld", (long long)x->dims[1]);
	if (past && (past->rank != 3 || past->dims[0] != x->dims[0] || past->dims[1] != x->dims[1] ||
	             past->dims[2] != w->dims[2] - 1))
		return tm_fail(c->err, TAMIS_E_INVALID, "the past must have the shape [%lld, %lld, %lld]", (long long)x->dims[0],
		               (long long)x->dims[1], (long long)(w->dims[2] - 1));
	s = op_set_like(c, Y, x->type, x);
	if (s != TAMIS_OK || c->n_out <= PRESENT)
		return s;
	return op_set_out(c, PRESENT, x->type, 3, (const int64_t[]){x->dims[0], x->dims[1], w->dims[2] - 1});
}

/* Element t of a row of x with the k - 1 elements of its past (or zeros) before it. */
static double lasting(const struct op_call *c, const struct causal *z, int64_t row, int64_t t)
{
	const struct tensor *past = op_in(c, PAST);

	if (t >= z->k - 1)
		return real_get(c->in[X], row * z->length + t - (z->k - 1));
	return past ? real_get(past, row * (z->k - 1) + t) : 0;
}

/* The same for a gradient that goes there. */
static void give_lasting(const struct op_grad *g, const struct causal *z, int64_t row, int64_t t, double v)
{
	struct tensor *past = op_in(g->call, PAST) ? g->gin[PAST] : NULL;

	if (t >= z->k - 1 && g->gin[X])
		real_add(g->gin[X], row * z->length + t - (z->k - 1), v);
	else if (t < z->k - 1 && past)
		real_add(past, row * (z->k - 1) + t, v);
}

static double convolved(const struct op_call *c, const struct causal *z, int64_t row, int64_t t)
{
	const struct tensor *bias = op_in(c, BIAS);
	int64_t channel = row % z->channels;
	double sum = bias ? real_get(bias, channel) : 0;

	for (int64_t i = 0; i < z->k; i++)
		sum += real_get(c->in[WEIGHT], channel * z->k + i) * lasting(c, z, row, t + i);
	return sum;
}

static enum tamis_status causal_run(struct op_call *c)
{
	struct causal z = sizes_of(c);
	struct tensor *y = c->out[Y], *present = c->n_out > PRESENT ? c->out[PRESENT] : NULL;

	for (int64_t row = 0; row < z.rows; row++) {
		for (int64_t t = 0; y && t < z.length; t++) {
			double v = convolved(c, &z, row, t);

			real_set(y, row * z.length + t, has_silu(c) ? v / (1 + exp(-v)) : v);
		}
		for (int64_t t = 0; present && t < z.k - 1; t++)
			real_set(present, row * (z.k - 1) + t, lasting(c, &z, row, z.length + t));
	}
	return TAMIS_OK;
}

/* d (v s(v)) / dv with the logistic function s. */
static double silu_slope(double v)
{
	double s = 1 / (1 + exp(-v));

	return s * (1 + v * (1 - s));
}

static void reverse_position(const struct op_grad *g, const struct causal *z, int64_t row, int64_t t)
{
	const struct op_call *c = g->call;
	double gv = real_get(g->gout[Y], row * z->length + t);
	int64_t channel = row % z->channels;

	if (has_silu(c))
		gv *= silu_slope(convolved(c, z, row, t));
	if (op_in(c, BIAS) && g->gin[BIAS])
		real_add(g->gin[BIAS], channel, gv);
	for (int64_t i = 0; i < z->k; i++) {
		if (g->gin[WEIGHT])
			real_add(g->gin[WEIGHT], channel * z->k + i, gv * lasting(c, z, row, t + i));
		give_lasting(g, z, row, t + i, gv * real_get(c->in[WEIGHT], channel * z->k + i));
	}
}

static enum tamis_status causal_reverse(struct op_grad *g)
{
	struct causal z = sizes_of(g->call);
	const struct tensor *present = g->call->n_out > PRESENT ? g->gout[PRESENT] : NULL;

	for (int64_t row = 0; row < z.rows; row++) {
		for (int64_t t = 0; g->gout[Y] && t < z.length; t++)
			reverse_position(g, &z, row, t);
		for (int64_t t = 0; present && t < z.k - 1; t++)
			give_lasting(g, &z, row, z.length + t, real_get(present, row * (z.k - 1) + t));
	}
	return TAMIS_OK;
}

const struct op ops_causal_conv[] = {
	{.name = "CausalConvWithState", .domain = "", .since = 27, .until = OP_LATEST, .min_in = 2, .max_in = INPUTS,
	 .min_out = 1, .max_out = 2, .parse = causal_parse, .shape = causal_shape, .run = causal_run,
	 .reverse = causal_reverse},
	{0},
};
