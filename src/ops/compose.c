/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/compose.h"

#include <onnx.pb-c.h>
#include <string.h>

#include "ops/args.h"
#include "ops/family.h"
#include "ops/table.h"

#define MOST_STAGES 12

struct made {
	struct node node;
	int in[COMPOSE_PORTS], out[COMPOSE_PORTS];
};

struct composition {
	int n;
	struct made stages[MOST_STAGES];
};

/* ---- Making ---- */

bool compose_has(const struct op_parse *p, int i)
{
	return i < p->node->n_in && p->node->in[i] != GRAPH_NONE;
}

static void fill_attribute(Onnx__AttributeProto *to, const struct compose_attr *from)
{
	static const int types[] = {
		[COMPOSE_INT] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT, [COMPOSE_FLOAT] =
			ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT,
		[COMPOSE_INTS] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS,
		[COMPOSE_STRING] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING,
	};

	onnx__attribute_proto__init(to);
	to->name = (char *)from->name;
	to->has_type = 1;
	to->type = (Onnx__AttributeProto__AttributeType)types[from->kind];
	to->has_i = from->kind == COMPOSE_INT;
	to->i = from->i;
	to->has_f = from->kind == COMPOSE_FLOAT;
	to->f = from->f;
	to->n_ints = from->kind == COMPOSE_INTS ? (size_t)from->n : 0;
	to->ints = (int64_t *)from->ints;
	to->has_s = from->kind == COMPOSE_STRING;
	to->s.data = (uint8_t *)from->text;
	to->s.len = from->text ? strlen(from->text) : 0;
}

/* A message with the attributes, in the arena; it is read while parsing only. NULL without memory. */
static Onnx__NodeProto *make_proto(struct op_parse *p, const struct compose_attr *attrs)
{
	Onnx__NodeProto *proto = arena_alloc(p->arena, sizeof *proto);
	size_t n = 0;

	while (attrs && attrs[n].name)
		n++;
	if (!proto)
		return NULL;
	onnx__node_proto__init(proto);
	proto->attribute = arena_array(p->arena, n + 1, sizeof(Onnx__AttributeProto *));
	for (size_t i = 0; proto->attribute && i < n; i++) {
		Onnx__AttributeProto *a = arena_alloc(p->arena, sizeof *a);

		if (!a)
			return NULL;
		fill_attribute(a, &attrs[i]);
		proto->attribute[proto->n_attribute++] = a;
	}
	return proto->attribute ? proto : NULL;
}

enum tamis_status compose_add(struct op_parse *p, void **attr, const struct compose_stage *stage)
{
	struct composition *m = *attr ? *attr : args_alloc(p, sizeof *m);
	struct op_parse inner = *p;
	struct made *s;

	if (!m)
		return TAMIS_E_MEMORY;
	*attr = m;
	if (m->n == MOST_STAGES)
		return tm_fail(p->err, TAMIS_E_INTERNAL, "%s has more than %d stages", p->node->op->name,
		               MOST_STAGES);
	s = &m->stages[m->n++];
	s->node.op = stage->op ? stage->op : op_find(&op_table, "", stage->name, stage->opset);
	s->node.proto = stage->own ? p->node->proto : make_proto(p, stage->attrs);
	s->node.name = p->node->name;
	s->node.opset = stage->opset;
	s->node.n_in = stage->n_in;
	s->node.n_out = stage->n_out;
	memcpy(s->in, stage->in, sizeof s->in);
	memcpy(s->out, stage->out, sizeof s->out);
	if (!s->node.op)
		return tm_fail(p->err, TAMIS_E_INTERNAL, "%s has a stage without an operator", p->node->op->name);
	if (!s->node.proto)
		return tm_no_memory(p->err, "reading attributes");
	inner.node = &s->node;
	return s->node.op->parse ? s->node.op->parse(&inner, &s->node.attr) : TAMIS_OK;
}

/* ---- Values of one call ---- */

struct values {
	struct tensor t[COMPOSE_VALUES], g[COMPOSE_VALUES]; /* values and, in a reverse pass, gradients */
	const struct tensor *in[COMPOSE_PORTS], *gout[COMPOSE_PORTS];
	struct tensor *out[COMPOSE_PORTS], *gin[COMPOSE_PORTS];
};

static struct op_call stage_call(const struct op_call *c, const struct made *s, struct values *v)
{
	for (int i = 0; i < s->node.n_in; i++)
		v->in[i] = s->in[i] == COMPOSE_NONE ? NULL : &v->t[s->in[i]];
	for (int i = 0; i < s->node.n_out; i++)
		v->out[i] = s->out[i] == COMPOSE_NONE ? NULL : &v->t[s->out[i]];
	return (struct op_call){.node = &s->node, .n_in = s->node.n_in, .n_out = s->node.n_out, .in = v->in,
	                        .out = v->out,
	                        .scratch = c->scratch, .err = c->err};
}

/* Inputs, and the shapes of everything else. */
static enum tamis_status find_values(const struct op_call *c, struct values *v, bool *unknown)
{
	const struct composition *m = c->node->attr;
	enum tamis_status s = TAMIS_OK;

	memset(v, 0, sizeof *v);
	for (int i = 0; i < c->n_in && i < COMPOSE_OUT; i++)
		if (c->in[i])
			v->t[i] = *c->in[i];
	for (int k = 0; !s && !*unknown && k < m->n; k++) {
		struct op_call call = stage_call(c, &m->stages[k], v);

		s = m->stages[k].node.op->shape(&call);
		*unknown = call.unknown;
	}
	return s;
}

enum tamis_status compose_shape(struct op_call *c)
{
	struct values v;
	enum tamis_status s = find_values(c, &v, &c->unknown);

	for (int i = 0; !s && !c->unknown && i < c->n_out; i++)
		if (c->out[i] && v.t[COMPOSE_OUT + i].type == DT_UNDEFINED)
			s = tm_fail(c->err, TAMIS_E_UNSUPPORTED, "output %d of %s is not supported in this form", i,
			            c->node->op->name);
		else if (c->out[i])
			s = op_set_like(c, i, v.t[COMPOSE_OUT + i].type, &v.t[COMPOSE_OUT + i]);
	return s;
}

/* Runs all stages; with `again`, the node's outputs are there already and only the rest is made. */
static enum tamis_status run_stages(const struct op_call *c, struct values *v, bool again)
{
	const struct composition *m = c->node->attr;
	bool unknown = false;
	enum tamis_status s = find_values(c, v, &unknown);

	for (int i = COMPOSE_OUT; !s && i < COMPOSE_VALUES; i++) {
		struct tensor *out = i - COMPOSE_OUT < c->n_out && i < COMPOSE_TEMP ? c->out[i - COMPOSE_OUT] : NULL;

		if (v->t[i].type == DT_UNDEFINED)
			continue;
		v->t[i].data = out && !again ? out->data : scratch_alloc(c->scratch, tensor_bytes(&v->t[i]), 1);
		if (!v->t[i].data && v->t[i].count)
			return tm_no_memory(c->err, "running a fused operator");
	}
	for (int k = 0; !s && k < m->n; k++) {
		struct op_call call = stage_call(c, &m->stages[k], v);
		const struct op *op = m->stages[k].node.op;

		if ((op->flags & OP_VIEW) && v->out[0])
			memcpy(v->out[0]->data, v->in[0]->data, tensor_bytes(v->out[0]));
		s = op->run ? op->run(&call) : TAMIS_OK;
	}
	return s;
}

enum tamis_status compose_run(struct op_call *c)
{
	struct values v;

	return run_stages(c, &v, false);
}

/* ---- Reverse ---- */

/* Gradients of inputs are the caller's, those of outputs start as what came, those of the rest as zero. */
static enum tamis_status start_gradients(const struct op_grad *g, struct values *v)
{
	const struct op_call *c = g->call;

	for (int i = 0; i < c->n_in && i < COMPOSE_OUT; i++)
		if (g->gin[i])
			v->g[i] = *g->gin[i];
	for (int i = COMPOSE_OUT; i < COMPOSE_VALUES; i++) {
		const struct tensor *came = i - COMPOSE_OUT < c->n_out && i < COMPOSE_TEMP ?
			g->gout[i - COMPOSE_OUT] : NULL;

		if (!dtype_is_float((int)v->t[i].type))
			continue;
		v->g[i] = v->t[i];
		v->g[i].data = scratch_alloc(c->scratch, tensor_bytes(&v->t[i]), 1);
		if (!v->g[i].data)
			return tm_no_memory(c->err, "reversing a fused operator");
		if (came)
			memcpy(v->g[i].data, came->data, tensor_bytes(came));
		else
			memset(v->g[i].data, 0, tensor_bytes(&v->t[i]));
	}
	return TAMIS_OK;
}

static struct tensor *gradient(struct values *v, int value)
{
	return value == COMPOSE_NONE || v->g[value].type == DT_UNDEFINED ? NULL : &v->g[value];
}

static bool any_seed(const struct op_grad *g)
{
	for (int i = 0; i < g->call->n_out; i++)
		if (g->gout[i])
			return true;
	return false;
}

enum tamis_status compose_reverse(struct op_grad *g)
{
	const struct composition *m = g->call->node->attr;
	struct values v;
	enum tamis_status s;

	if (!any_seed(g))
		return TAMIS_OK;
	s = run_stages(g->call, &v, true);
	if (!s)
		s = start_gradients(g, &v);
	for (int k = m->n - 1; !s && k >= 0; k--) {
		const struct made *stage = &m->stages[k];
		struct op_call call = stage_call(g->call, stage, &v);
		struct op_grad inner = {&call, v.gout, v.gin};

		for (int i = 0; i < stage->node.n_in; i++)
			v.gin[i] = gradient(&v, stage->in[i]);
		for (int i = 0; i < stage->node.n_out; i++)
			v.gout[i] = gradient(&v, stage->out[i]);
		if (stage->node.op->reverse)
			s = stage->node.op->reverse(&inner);
	}
	return s;
}
