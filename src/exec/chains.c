/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/chains.h"

struct search {
	const struct uses *uses;
	const bool *gone;
	struct chain *chain;
	bool maps; /* scalars and activations alone, in a step of their own */
};

static const struct step *step_at(const struct search *f, int i)
{
	return i == GRAPH_NONE || f->gone[i] ? NULL : &f->uses->program->steps[i];
}

/* The step that alone reads the value. */
static const struct step *only_reader(const struct search *f, int value)
{
	return step_at(f, uses_only_reader(f->uses, value));
}

static int index_of(const struct search *f, const struct step *s)
{
	return (int)(s - f->uses->program->steps);
}

/* Each kind once: oneDNN 2.6 gives all of a kind the parameters of the first. A scalar right after the convolution does
 * not count, it goes into the weight. */
static bool is_new(const struct chain *c, enum blocked_kind kind)
{
	for (int i = c->n_after && c->after[0].kind == BLOCKED_LINEAR; i < c->n_after; i++)
		if (c->after[i].kind == kind)
			return false;
	return true;
}

/* Can a reverse pass undo this from the result of the whole chain? A scalar right after the convolution goes into the
 * weight. */
static bool undoable(const struct chain *c, struct blocked_after after)
{
	bool fits = after.kind == BLOCKED_CLIP || after.kind == BLOCKED_SIGMOID || after.kind == BLOCKED_TANH
		|| (after.kind == BLOCKED_RELU && after.a >= 0) || (after.kind == BLOCKED_LINEAR && !c->n_after);

	for (int i = c->n_after && c->after[0].kind == BLOCKED_LINEAR; i < c->n_after; i++)
		if (c->after[i].kind != BLOCKED_RESIDUAL)
			return false;
	return fits || after.kind == BLOCKED_RESIDUAL;
}

static bool take(struct search *f, const struct step *const *steps, int n, struct blocked_after after)
{
	struct chain *c = f->chain;

	if (c->n_after == BLOCKED_AFTER || c->n_steps + n > CHAIN_STEPS || (!f->maps && !is_new(c, after.kind)))
		return false;
	if (f->uses->program->options.training && !f->maps && !undoable(c, after))
		return false;
	for (int i = 0; i < n; i++)
		c->steps[c->n_steps++] = index_of(f, steps[i]);
	c->after[c->n_after++] = after;
	c->last = c->steps[c->n_steps - 1];
	c->value = steps[n - 1]->out[0];
	return true;
}

/* ---- one step, one effect ---------------------------------------------------------------------------------------- */

static bool activation(const struct search *f, const struct step *s, struct blocked_after *out)
{
	*out = (struct blocked_after){ BLOCKED_RELU, 0, 0 };
	if (step_is(s, "Relu"))
		return true;
	if (step_is(s, "LeakyRelu"))
		out->a = step_float(s, "alpha", 0.01f);
	else if (step_is(s, "Sigmoid"))
		out->kind = BLOCKED_SIGMOID;
	else if (step_is(s, "Tanh"))
		out->kind = BLOCKED_TANH;
	else if (step_is(s, "HardSwish"))
		out->kind = BLOCKED_HARDSWISH;
	else if (step_is(s, "Clip"))
		return out->kind = BLOCKED_CLIP, step_clip_bounds(f->uses->program, s, &out->a, &out->b);
	else
		return false;
	return true;
}

/* value + c, value * c and so on, as a x + b; `at` is the input that value comes in at. */
static bool affine(const struct search *f, const struct step *s, int value, struct blocked_after *out)
{
	int at = s->n_in == 2 && s->in[1] == value;
	float c;

	*out = (struct blocked_after){ BLOCKED_LINEAR, 1, 0 };
	if (s->n_in != 2 || !step_scalar(f->uses->program, s, 1 - at, &c)
	    || step_constant(f->uses->program, s, 1 - at)->rank > 4)
		return false;
	if (step_is(s, "Add") || (step_is(s, "Sub") && at == 0))
		out->b = step_is(s, "Add") ? c : -c;
	else if (step_is(s, "Mul"))
		out->a = c;
	else if (step_is(s, "Div") && at == 0 && c != 0)
		out->a = 1 / c;
	else
		return false;
	return true;
}

static bool join_affine(struct search *f, const struct step *s, struct blocked_after part)
{
	struct chain *c = f->chain;
	struct blocked_after *before = c->n_after ? &c->after[c->n_after - 1] : NULL;

	if (!before || before->kind != BLOCKED_LINEAR || c->n_steps == CHAIN_STEPS)
		return take(f, &s, 1, part);
	*before = (struct blocked_after){ BLOCKED_LINEAR, part.a * before->a, part.a * before->b + part.b };
	c->steps[c->n_steps++] = index_of(f, s);
	c->last = index_of(f, s);
	c->value = s->out[0];
	return true;
}

static bool residual(const struct search *f, const struct step *s, int value, int *other)
{
	const struct tensor *a, *b;

	if (!step_is(s, "Add") || s->n_in != 2 || s->in[0] == s->in[1] || f->chain->residual != GRAPH_NONE)
		return false;
	*other = s->in[s->in[0] == value];
	a = uses_shape(f->uses, value, 4);
	b = uses_shape(f->uses, *other, 4);
	return a && b && tensor_same_shape(a, b);
}

static bool extend_by_one(struct search *f)
{
	int value = f->chain->value, other;
	const struct step *s = only_reader(f, value);
	struct blocked_after part;

	if (!s)
		return false;
	if (activation(f, s, &part))
		return take(f, &s, 1, part);
	if (affine(f, s, value, &part))
		return join_affine(f, s, part);
	if (f->maps || !residual(f, s, value, &other) || !take(f, &s, 1, (struct blocked_after){ .kind = BLOCKED_RESIDUAL }))
		return false;
	f->chain->residual = other;
	return true;
}

/* ---- several steps, one activation ------------------------------------------------------------------------------- */

/* value * gate(value), written out: the gate's own step or steps in `steps`, the product last. */
static bool gated(struct search *f, const struct step **steps, int n, struct blocked_after after)
{
	int value = f->chain->value;
	const struct step *mul = only_reader(f, steps[n - 1]->out[0]);

	if (!step_is_product(mul, value, steps[n - 1]->out[0]) || f->uses->reader[value][1] != index_of(f, mul))
		return false;
	steps[n] = mul;
	return take(f, steps, n + 1, after);
}

static bool extend_by_gate(struct search *f)
{
	int value = f->chain->value;
	const struct step *s = step_at(f, f->uses->reader[value][0]), *steps[4] = { s };
	struct blocked_after part;

	if (f->uses->count[value] != 2 || !s || f->uses->reader[value][1] == GRAPH_NONE)
		return false;
	if (step_is(s, "Sigmoid"))
		return gated(f, steps, 1, (struct blocked_after){ BLOCKED_SWISH, 1, 0 });
	return affine(f, s, value, &part) && part.b == 0 && (steps[1] = only_reader(f, s->out[0]))
		&& step_is(steps[1], "Sigmoid") && gated(f, steps, 2, (struct blocked_after){ BLOCKED_SWISH, part.a, 0 });
}

static void find(struct search *f, int step, int value)
{
	*f->chain = (struct chain){ .value = value, .last = step, .residual = GRAPH_NONE };
	while (uses_shape(f->uses, f->chain->value, 4) && (extend_by_one(f) || extend_by_gate(f)))
		;
}

void chain_find(const struct uses *u, const bool *gone, int step, int value, struct chain *out)
{
	find(&(struct search){ .uses = u, .gone = gone, .chain = out }, step, value);
}

void chain_find_maps(const struct uses *u, const bool *gone, int step, int value, struct chain *out)
{
	find(&(struct search){ .uses = u, .gone = gone, .chain = out, .maps = true }, step, value);
}
