/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/channels/constants.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Values that hold the group, computed for one item as far as its constant units go. */
struct follow {
	const struct channel_groups *g;
	const struct channel_group *group;
	bool *wanted;
	struct tensor *at; /* by value; data NULL = not on the way */
	bool lost;         /* something on the way is not understood */
};

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "following constant channels");
}

/* The unit, counted within the group, that index i of an axis of a value belongs to; -1 = none of it. */
static int unit_at(const struct follow *f, int value, int axis, int64_t i)
{
	const struct coupling *c = &f->g->coupling;
	int u = groups_unit(f->g, c->axes[c->value_axis[value] + axis].first + i) - f->group->first;

	return u >= 0 && u < f->group->width ? u : -1;
}

/* The axis of a value that holds the group; -1 = none, -2 = several. */
static int axis_of(const struct follow *f, int value)
{
	const struct tensor *t = f->g->coupling.shape[value];
	int found = -1;

	if (f->g->coupling.value_axis[value] < 0)
		return -1;
	for (int a = 0; a < t->rank; a++)
		for (int64_t i = 0; i < t->dims[a]; i++)
			if (unit_at(f, value, a, i) >= 0) {
				found = found == -1 ? a : -2;
				break;
			}
	return found;
}

/* ---- one value -------------------------------------------------------------------------------------------------- */

/* Calls fn for every element of wanted units. */
static void visit(struct follow *f, int value, void (*fn)(struct follow *f, void *ctx, int unit, double *x), void *ctx)
{
	struct tensor *t = &f->at[value];
	int axis = axis_of(f, value);
	int64_t inner, extent;

	if (axis < 0) {
		f->lost = true;
		return;
	}
	inner = tensor_extent(t, axis + 1, t->rank);
	extent = t->dims[axis];
	for (int64_t i = 0; i < t->count; i++) {
		int unit = unit_at(f, value, axis, i / inner % extent);
		double x = tensor_get(t, i), before = x;

		if (unit < 0 || !f->wanted[unit])
			continue;
		fn(f, ctx, unit, &x);
		if (x != before)
			tensor_set(t, i, x);
	}
}

static void want_zero(struct follow *f, void *ctx, int unit, double *x)
{
	(void)ctx;
	if (*x != 0)
		f->wanted[unit] = false;
}

/* ctx: what each unit is worth, NAN while nothing of it was seen. */
static void want_one_value(struct follow *f, void *ctx, int unit, double *x)
{
	double *seen = (double *)ctx + unit;

	if (isnan(*seen))
		*seen = *x;
	if (*x != *seen || !isfinite(*x))
		f->wanted[unit] = false;
}

static void put(struct follow *f, void *ctx, int unit, double *x)
{
	(void)f;
	*x = ((const double *)ctx)[unit];
}

/* ---- makers ----------------------------------------------------------------------------------------------------- */

double constants_own_bias(const struct graph *g, const struct layer *l, int64_t o)
{
	const struct node *n = &g->nodes[l->node];
	int input = l->view.bias >= 0 ? l->view.bias : 2;
	const struct value *b = input < n->n_in && n->in[input] != GRAPH_NONE ? &g->values[n->in[input]] : NULL;

	if (!b)
		return 0;
	if (b->kind != VALUE_CONSTANT || (b->constant.count != 1 && b->constant.count != l->view.outs))
		return NAN;
	return l->view.bias_scale * tensor_get(&b->constant, b->constant.count == 1 ? 0 : o);
}

static enum tamis_status start_at(struct follow *f, int layer, struct tamis_error *err)
{
	const struct layer *l = &f->g->layers->list[layer];
	int value = f->g->graph->nodes[l->node].out[0];
	double *z = tm_array((size_t)f->group->width + 1, sizeof *z);
	enum tamis_status s;

	if (!z)
		return no_memory(err);
	f->at[value] = *f->g->coupling.shape[value];
	f->at[value].data = NULL;
	s = tensor_alloc(&f->at[value], err);
	for (int64_t o = 0; o < l->view.outs; o++) {
		int u = f->g->made[layer][o] - f->group->first;

		if (u < 0 || u >= f->group->width)
			continue;
		z[u] = constants_own_bias(f->g->graph, l, o);
		if (isnan(z[u]))
			f->wanted[u] = false;
	}
	if (s == TAMIS_OK)
		visit(f, value, put, z);
	free(z);
	return s;
}

/* ---- operators -------------------------------------------------------------------------------------------------- */

static bool is(const struct node *n, const char *name)
{
	return !*n->op->domain && !strcmp(n->op->name, name);
}

bool constants_unpadded(const struct node *n)
{
	for (size_t i = 0; i < n->proto->n_attribute; i++) {
		const Onnx__AttributeProto *a = n->proto->attribute[i];

		if (!strcmp(a->name, "ceil_mode") && a->i)
			return false;
		if (!strcmp(a->name, "auto_pad") && a->s.len >= 4 && !memcmp(a->s.data, "SAME", 4))
			return false;
		for (size_t k = 0; !strcmp(a->name, "pads") && k < a->n_ints; k++)
			if (a->ints[k])
				return false;
	}
	return true;
}

/* Operators that make one number of equal numbers at any size of the image. LpPool's sum grows with the window, and
 * InstanceNormalization magnifies the rounding of the mean. */
static bool keeps_constants(const struct node *n)
{
	if (n->op->channels == channels_elementwise || n->op->flags & OP_VIEW)
		return true;
	return is(n, "BatchNormalization") || is(n, "MaxPool") || is(n, "GlobalMaxPool") || is(n, "GlobalAveragePool")
		|| is(n, "Concat") || is(n, "Transpose") || (is(n, "AveragePool") && constants_unpadded(n));
}

/* Inputs of one item: what was followed, constants, and nothing else. */
static bool bind(const struct follow *f, const struct node *n, const struct tensor **in)
{
	for (int i = 0; i < n->n_in; i++) {
		int id = n->in[i];

		in[i] = NULL;
		if (id == GRAPH_NONE)
			continue;
		in[i] = f->at[id].data ? &f->at[id] : f->g->coupling.shape[id];
		if (!in[i] || !in[i]->data)
			return false;
	}
	return true;
}

static enum tamis_status pass(struct follow *f, const struct node *n, struct tamis_error *err)
{
	const struct tensor **in = tm_array((size_t)n->n_in + 1, sizeof *in);
	struct tensor *out = tm_array((size_t)n->n_out + 1, sizeof *out);
	enum tamis_status s = in && out ? TAMIS_OK : no_memory(err);

	if (s == TAMIS_OK && !bind(f, n, in))
		f->lost = true;
	else if (s == TAMIS_OK)
		s = node_eval(n, in, out, err);
	for (int i = 0; s == TAMIS_OK && out && i < n->n_out; i++) {
		if (n->out[i] != GRAPH_NONE && !f->lost && axis_of(f, n->out[i]) != -1)
			f->at[n->out[i]] = out[i];
		else
			tensor_free(&out[i]);
	}
	free(in);
	free(out);
	return s;
}

static bool touches(const struct follow *f, const int *ids, int n)
{
	for (int i = 0; i < n; i++)
		if (ids[i] != GRAPH_NONE && axis_of(f, ids[i]) != -1)
			return true;
	return false;
}

static int layer_at(const struct channel_groups *g, int node)
{
	for (int i = 0; i < g->layers->n; i++)
		if (g->layers->list[i].node == node)
			return i;
	return -1;
}

static enum tamis_status step(struct follow *f, int node, struct tamis_error *err)
{
	const struct node *n = &f->g->graph->nodes[node];
	int layer;

	if (n->constant || !touches(f, n->out, n->n_out))
		return TAMIS_OK;
	layer = layer_at(f->g, node);
	if (layer >= 0 && f->g->layers->list[layer].view.groups == 1)
		return start_at(f, layer, err);
	for (int i = 0; i < n->n_in; i++)
		if (n->in[i] != GRAPH_NONE && f->at[n->in[i]].data && !keeps_constants(n))
			visit(f, n->in[i], want_zero, NULL);
	return f->lost ? TAMIS_OK : pass(f, n, err);
}

static void collect(struct follow *f, const struct group_reader *r, double *value)
{
	int id = f->g->graph->nodes[r->read.node].in[r->read.data];

	for (int u = 0; u < f->group->width; u++)
		value[u] = NAN;
	if (id != GRAPH_NONE && f->at[id].data)
		visit(f, id, want_one_value, value);
}

static bool reads(const struct follow *f, const struct group_reader *r)
{
	for (int64_t i = 0; i < r->extent; i++)
		if (r->unit[i] >= f->group->first && r->unit[i] < f->group->first + f->group->width)
			return true;
	return false;
}

enum tamis_status constants_follow(const struct channel_groups *g, int group, bool *wanted, double *value,
                                   struct tamis_error *err)
{
	struct follow f = { .g = g, .group = &g->list[group], .wanted = wanted };
	enum tamis_status s;

	f.at = tm_array((size_t)g->graph->n_values + 1, sizeof *f.at);
	s = f.at ? TAMIS_OK : no_memory(err);
	for (int i = 0; s == TAMIS_OK && !f.lost && i < g->graph->n_nodes; i++)
		s = step(&f, i, err);
	for (int r = 0; s == TAMIS_OK && !f.lost && r < g->n_readers; r++)
		if (g->readers[r].read.data < 0)
			f.lost = reads(&f, &g->readers[r]);
		else if (reads(&f, &g->readers[r]))
			collect(&f, &g->readers[r], value + (int64_t)r * f.group->width);
	for (int u = 0; f.lost && u < f.group->width; u++)
		wanted[u] = false;
	for (int v = 0; f.at && v < g->graph->n_values; v++)
		tensor_free(&f.at[v]);
	free(f.at);
	return s;
}
