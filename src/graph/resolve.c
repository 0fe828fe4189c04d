/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/resolve.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/build.h"
#include "graph/names.h"
#include "onnx/document.h"

/* What is missing, each kind once, counted. */
struct missing {
	struct arena arena;
	struct name_index index;
	struct { const char *text; int64_t count; } *items;
	size_t n, cap;
};

static bool is_default(const char *domain)
{
	return !domain || !*domain || !strcmp(domain, "ai.onnx");
}

int64_t opsets_version(const struct opsets *o, const char *domain)
{
	for (size_t i = 0; i < o->n; i++) {
		const char *d = o->list[i]->domain;

		if (is_default(d) ? is_default(domain) : domain && !strcmp(d, domain))
			return o->list[i]->version;
	}
	return 0;
}

static bool add_missing(struct missing *m, const char *text)
{
	int id = names_get(&m->index, text);

	if (id < 0) {
		if (!tm_grow((void **)&m->items, &m->cap, m->n + 1, sizeof *m->items)
		    || !names_put(&m->index, text, (int)m->n))
			return false;
		id = (int)m->n++;
		m->items[id].text = text;
		m->items[id].count = 0;
	}
	m->items[id].count++;
	return true;
}

static bool note_missing(struct missing *m, const struct op_table *ops, const struct node *n)
{
	const char *domain = is_default(n->proto->domain) ? "" : n->proto->domain;
	const char *kind = op_known(ops, domain, n->proto->op_type) ? " of opset" : ", opset";
	char *text = arena_printf(&m->arena, "%s%s%s%s %" PRId64, domain, *domain ? "." : "", n->proto->op_type, kind,
	                          n->opset);

	return text && add_missing(m, text);
}

static enum tamis_status say_missing(const struct missing *m, struct tamis_error *err)
{
	char list[880];
	size_t used = 0;
	size_t i;

	for (i = 0; i < m->n && used + 120 < sizeof list; i++)
		used += (size_t)snprintf(list + used, sizeof list - used, "%s%.80s (%" PRId64 " node%s)", i ? "; " : "",
		                         m->items[i].text, m->items[i].count, m->items[i].count == 1 ? "" : "s");
	if (i < m->n)
		snprintf(list + used, sizeof list - used, "; and %zu more kinds", m->n - i);
	return tm_fail(err, TAMIS_E_UNSUPPORTED, "the model needs operators that are not supported: %s", list);
}

/* "2 inputs", "2 or 3 inputs", "2 to 5 inputs", "at least 1 input". */
static void describe_range(char *buf, size_t size, int min, int max, const char *what)
{
	if (max < 0)
		snprintf(buf, size, "at least %d %s%s", min, what, min == 1 ? "" : "s");
	else if (max <= min)
		snprintf(buf, size, "%d %s%s", max, what, max == 1 ? "" : "s");
	else
		snprintf(buf, size, "%d %s %d %ss", min, max == min + 1 ? "or" : "to", max, what);
}

static enum tamis_status check_count(const struct node *n, const char *verb, const char *what, int count, int min,
                                     int max, struct tamis_error *err)
{
	char range[64];

	if (count >= min && (max < 0 || count <= max))
		return TAMIS_OK;
	describe_range(range, sizeof range, min, max, what);
	tm_fail(err, TAMIS_E_INVALID, "%s %s %s, not %d", n->op->name, verb, range, count);
	return tm_in_node(err, n->name);
}

/* Only inputs beyond the first min_in may be left out by an empty name. */
static enum tamis_status check_required(const struct node *n, struct tamis_error *err)
{
	for (int i = 0; i < n->op->min_in; i++)
		if (!*n->proto->input[i]) {
			tm_fail(err, TAMIS_E_INVALID, "%s needs its input %d, whose name is empty", n->op->name, i);
			return tm_in_node(err, n->name);
		}
	return TAMIS_OK;
}

static enum tamis_status check_arity(const struct node *n, struct tamis_error *err)
{
	enum tamis_status s = check_count(n, "takes", "input", n->n_in, n->op->min_in, n->op->max_in, err);

	if (s == TAMIS_OK)
		s = check_count(n, "gives", "output", n->n_out, n->op->min_out, n->op->max_out, err);
	return s == TAMIS_OK ? check_required(n, err) : s;
}

static bool too_new(const struct node *n)
{
	return is_default(n->proto->domain) && n->opset > RESOLVE_MAX_OPSET;
}

static enum tamis_status resolve_all(struct graph *g, const struct op_table *ops, struct missing *m,
                                     struct tamis_error *err)
{
	for (int i = 0; i < g->n_nodes; i++) {
		struct node *n = &g->nodes[i];
		const struct node *before = i ? n - 1 : NULL;

		n->opset = opsets_version(n->opsets, n->proto->domain);
		if (before && before->op && before->opset == n->opset && !strcmp(before->op->name, n->proto->op_type)
		    && !strcmp(before->op->domain, is_default(n->proto->domain) ? "" : n->proto->domain))
			n->op = before->op;
		else
			n->op = too_new(n) ? NULL : op_find(ops, n->proto->domain, n->proto->op_type, n->opset);
		if (!n->op && !note_missing(m, ops, n))
			return tm_no_memory(err, "resolving operators");
	}
	if (m->n)
		return say_missing(m, err);
	for (int i = 0; i < g->n_nodes; i++) {
		enum tamis_status s = check_arity(&g->nodes[i], err);

		if (s != TAMIS_OK)
			return s;
	}
	return TAMIS_OK;
}

enum tamis_status resolve_operators(struct graph *g, const struct op_table *ops, struct tamis_error *err)
{
	struct missing m = { 0 };
	enum tamis_status s = resolve_all(g, ops, &m, err);

	names_free(&m.index);
	free(m.items);
	arena_free(&m.arena);
	return s;
}
