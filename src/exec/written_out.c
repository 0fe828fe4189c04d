/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/written_out.h"

#include <math.h>
#include <string.h>

#include "exec/uses.h"
#include "ops/table.h"

enum { MOST_STEPS = 9 };

/* Steps that together are one operator. The last one makes its output. */
struct form {
	struct step *steps[MOST_STEPS];
	int n;
	const char *op;
	int opset;
	float epsilon;   /* 0: no attribute */
	int in[3], n_in;
};

struct matcher {
	struct program *p;
	struct uses uses;
};

static struct step *at(const struct matcher *m, int step)
{
	return step == GRAPH_NONE || !m->p->steps[step].node ? NULL : &m->p->steps[step];
}

/* The step of this name that alone reads what `s` makes; NULL passes through, so that a chain of calls may fail
 * anywhere. */
static struct step *follow(const struct matcher *m, struct form *f, struct step *s, const char *name)
{
	struct step *next = s ? at(m, uses_only_reader(&m->uses, s->out[0])) : NULL;

	if (!next || !step_is(next, name) || f->n == MOST_STEPS)
		return NULL;
	f->steps[f->n++] = next;
	return next;
}

static bool near(float a, double b)
{
	return fabs((double)a - b) < 1e-5 * b;
}

/* Is s a function of `value` and a number near `number`: value op number, or number op value where `swaps`? */
static bool with_number(const struct matcher *m, const struct step *s, int value, double number, bool swaps)
{
	float c;

	if (!s || s->n_in != 2)
		return false;
	if (s->in[0] == value)
		return step_scalar(m->p, s, 1, &c) && step_constant(m->p, s, 1)->rank == 0 && near(c, number);
	return swaps && s->in[1] == value && step_scalar(m->p, s, 0, &c) && step_constant(m->p, s, 0)->rank == 0
		&& near(c, number);
}

/* ---- Gelu: x / sqrt(2) -> Erf -> + 1 -> times x -> times 1 / 2 ----------------------------------------------------- */

static bool match_gelu(const struct matcher *m, struct step *first, struct form *f)
{
	const struct step *erf, *sum, *mul, *half;
	int x = first->in[0];

	*f = (struct form){ .steps = { first }, .n = 1, .op = "Gelu", .opset = 20, .in = { x }, .n_in = 1 };
	if (!(step_is(first, "Div") && with_number(m, first, x, sqrt(2), false))
	    && !(step_is(first, "Mul") && with_number(m, first, x, sqrt(0.5), false)))
		return false;
	erf = follow(m, f, first, "Erf");
	sum = erf ? follow(m, f, f->steps[1], "Add") : NULL;
	mul = sum ? follow(m, f, f->steps[2], "Mul") : NULL;
	half = mul ? follow(m, f, f->steps[3], "Mul") : NULL;
	return half && with_number(m, sum, erf->out[0], 1, true) && with_number(m, half, mul->out[0], 0.5, true)
		&& step_is_product(mul, x, sum->out[0]);
}

/* ---- HardSwish: x + 3 -> Clip to 0..6 -> times x -> / 6, or HardSigmoid of slope 1 / 6 -> times x ------------------- */

static bool clips_to_six(const struct matcher *m, const struct step *s)
{
	float low, high;

	return s && step_clip_bounds(m->p, s, &low, &high) && low == 0 && high == 6;
}

static bool match_hardswish(const struct matcher *m, struct step *first, struct form *f)
{
	bool gate = step_is(first, "HardSigmoid");
	int x = first->n_in == 2 && step_constant(m->p, first, 0) ? first->in[1] : first->in[0];
	struct step *clip = first, *mul, *sixth;

	*f = (struct form){ .steps = { first }, .n = 1, .op = "HardSwish", .opset = 14, .in = { x }, .n_in = 1 };
	if (gate && (!near(step_float(first, "alpha", 0.2f), 1 / 6.0) || !near(step_float(first, "beta", 0.5f), 0.5)))
		return false;
	if (!gate && (!step_is(first, "Add") || !with_number(m, first, x, 3, true)
	              || !clips_to_six(m, clip = follow(m, f, first, "Clip"))))
		return false;
	mul = follow(m, f, clip, "Mul");
	if (!mul || !step_is_product(mul, x, clip->out[0]))
		return false;
	if (gate)
		return true;
	sixth = at(m, uses_only_reader(&m->uses, mul->out[0]));
	if (!sixth || !follow(m, f, mul, step_is(sixth, "Div") ? "Div" : "Mul"))
		return false;
	return step_is(sixth, "Div") ? with_number(m, sixth, mul->out[0], 6, false)
	                             : with_number(m, sixth, mul->out[0], 1 / 6.0, true);
}

/* ---- layer normalisation: d = x - mean(x), d / sqrt(mean(d^2) + epsilon) * scale + bias ----------------------------- */

/* The mean over the last axis, which stays. */
static bool is_mean(const struct matcher *m, const struct step *s)
{
	const Onnx__NodeProto *n = s->node->proto;
	const struct tensor *axes = step_constant(m->p, s, 1);
	bool by_input = s->node->opset >= 18, last = by_input && axes && axes->count == 1 && tensor_get_int(axes, 0) == -1;

	if (!step_is(s, "ReduceMean"))
		return false;
	for (size_t i = 0; i < n->n_attribute; i++) {
		const Onnx__AttributeProto *a = n->attribute[i];

		if (!by_input && a->name && !strcmp(a->name, "axes"))
			last = a->n_ints == 1 && a->ints[0] == -1;
		if (a->name && !strcmp(a->name, "keepdims") && a->i != 1)
			return false;
	}
	return last;
}

static int vector_beside(const struct matcher *m, const struct step *s, int value)
{
	int i = s->n_in == 2 && s->in[0] == value;
	const struct tensor *t = s->n_in == 2 ? step_constant(m->p, s, i) : NULL;

	return t && s->in[1 - i] == value && t->type == DT_FLOAT && t->rank == 1 && t->count > 1 ? s->in[i] : GRAPH_NONE;
}

static bool is_square(const struct matcher *m, const struct step *s, int d)
{
	return (step_is(s, "Pow") && with_number(m, s, d, 2, false)) || (step_is(s, "Mul") && s->in[0] == d && s->in[1] == d);
}

/* From the deviations to what is divided by the root: fills steps up to the Div. */
static const struct step *match_deviation(const struct matcher *m, struct form *f, int d)
{
	struct step *square = at(m, m->uses.reader[d][0]), *mean, *sum, *root, *quotient;

	if (!square || !is_square(m, square, d) || m->uses.count[d] != (step_is(square, "Pow") ? 2 : 3))
		return NULL;
	f->steps[f->n++] = square;
	mean = follow(m, f, square, "ReduceMean");
	sum = mean && is_mean(m, mean) ? follow(m, f, mean, "Add") : NULL;
	if (!sum || sum->n_in != 2 || !step_scalar(m->p, sum, sum->in[0] == mean->out[0], &f->epsilon)
	    || step_constant(m->p, sum, sum->in[0] == mean->out[0])->rank > 1 || f->epsilon <= 0)
		return NULL;
	root = follow(m, f, sum, "Sqrt");
	quotient = follow(m, f, root, "Div");
	return quotient && quotient->in[0] == d && quotient->in[1] == root->out[0] ? quotient : NULL;
}

static bool match_norm(const struct matcher *m, struct step *first, struct form *f)
{
	struct step *deviation, *scale, *bias;
	const struct step *quotient;
	int x = first->in[0];

	*f = (struct form){ .steps = { first }, .n = 1, .op = "LayerNormalization", .opset = 17, .n_in = 3 };
	deviation = is_mean(m, first) ? follow(m, f, first, "Sub") : NULL;
	if (!deviation || deviation->in[0] != x || deviation->in[1] != first->out[0])
		return false;
	quotient = match_deviation(m, f, deviation->out[0]);
	scale = quotient ? follow(m, f, f->steps[f->n - 1], "Mul") : NULL;
	bias = follow(m, f, scale, "Add");
	if (!bias)
		return false;
	f->in[0] = x;
	f->in[1] = vector_beside(m, scale, quotient->out[0]);
	f->in[2] = vector_beside(m, bias, scale->out[0]);
	return f->in[1] != GRAPH_NONE && f->in[2] != GRAPH_NONE
		&& m->p->constant[f->in[1]].count == m->p->constant[f->in[2]].count;
}

/* ---- the new step -------------------------------------------------------------------------------------------------- */

static Onnx__NodeProto *make_proto(struct arena *a, const struct form *f)
{
	Onnx__NodeProto *n = arena_alloc(a, sizeof *n);
	Onnx__AttributeProto *epsilon = arena_alloc(a, sizeof *epsilon), **list = arena_alloc(a, sizeof *list);

	if (!n || !epsilon || !list)
		return NULL;
	onnx__node_proto__init(n);
	onnx__attribute_proto__init(epsilon);
	epsilon->name = arena_strdup(a, "epsilon");
	epsilon->has_type = true;
	epsilon->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
	epsilon->has_f = true;
	epsilon->f = f->epsilon;
	*list = epsilon;
	n->attribute = list;
	n->n_attribute = f->epsilon > 0;
	return epsilon->name ? n : NULL;
}

static enum tamis_status join(const struct matcher *m, const struct form *f, struct tamis_error *err)
{
	struct step *last = f->steps[f->n - 1];
	struct arena *arena = &m->p->arena;
	struct node *n = arena_alloc(arena, sizeof *n);
	int *ports = arena_array(arena, 4, sizeof *ports);
	Onnx__NodeProto *proto = make_proto(arena, f);
	struct op_parse parse = { .node = n, .doc = m->p->graph->doc, .arena = arena, .err = err };

	if (!n || !ports || !proto)
		return tm_no_memory(err, "joining written-out operators");
	memcpy(ports, f->in, sizeof f->in);
	ports[3] = last->out[0];
	*n = *last->node;
	n->proto = proto;
	n->op = op_find(&op_table, "", f->op, f->opset);
	n->opset = f->opset;
	n->in = ports;
	n->n_in = f->n_in;
	n->out = ports + 3;
	n->n_out = 1;
	*last = (struct step){ .node = n, .graph_node = last->graph_node, .in = n->in, .out = n->out, .n_in = n->n_in,
		.n_out = 1 };
	for (int i = 0; i < f->n - 1; i++)
		f->steps[i]->node = NULL;
	return n->op->parse ? n->op->parse(&parse, &n->attr) : TAMIS_OK;
}

enum tamis_status join_written_out(struct program *p, struct tamis_error *err)
{
	struct matcher m = { .p = p };
	struct form f;
	enum tamis_status s = uses_find(p, NULL, &m.uses, err);

	for (int i = 0; s == TAMIS_OK && i < p->n_steps; i++) {
		struct step *first = &p->steps[i];
		bool plain = first->node && first->n_in >= 1 && first->in[0] != GRAPH_NONE && first->out[0] != GRAPH_NONE;

		if (plain && (match_norm(&m, first, &f) || match_gelu(&m, first, &f) || match_hardswish(&m, first, &f)))
			s = join(&m, &f, err);
	}
	uses_free(&m.uses);
	program_drop_empty(p);
	return s;
}
