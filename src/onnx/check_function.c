/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of model functions, and that none calls itself. */
#include <stdlib.h>
#include <string.h>

#include "onnx/checker.h"

const char *function_key(struct checker *c, const char *domain, const char *name, const char *overload)
{
	size_t room = strlen(check_domain(domain)) + strlen(check_or_empty(name)) + strlen(check_or_empty(overload))
		+ 3;
	char *key = arena_alloc(&c->report->arena, room);
	if (!key) {
		c->no_memory = true;
		return "";
	}
	/* Names hold no byte 1 in practice; a name that does can at worst be taken for another function. */
	char *end = stpcpy(key, check_domain(domain));
	*end++ = '\1';
	end = stpcpy(end, check_or_empty(name));
	*end++ = '\1';
	strcpy(end, check_or_empty(overload));
	return key;
}

static const char *label_of(struct checker *c, const Onnx__FunctionProto *f)
{
	return check_text(c, "function %.100s:%.100s", check_domain(f->domain), check_or_empty(f->name));
}

static void declare(struct checker *c, size_t i)
{
	const Onnx__FunctionProto *f = c->doc->model->functions[i];
	c->graph = label_of(c, f);
	if (!f->name || !*f->name)
		check_found(c, RULE_FUNCTION_NAME, NULL, NULL, "a function has no name");
	if (!check_add(c, &c->functions, function_key(c, f->domain, f->name, f->overload), (int64_t)i, NULL))
		check_found(c, RULE_FUNCTION_DUPLICATE, NULL, NULL,
		            "another function has the same domain, name and overload");
	check_add(c, &c->function_domains, check_domain(f->domain), 0, NULL);
}

static void check_declared_attributes(struct checker *c, const Onnx__FunctionProto *f)
{
	struct name_table seen = { 0 };
	for (size_t i = 0; i < f->n_attribute + f->n_attribute_proto; i++) {
		const char *name = i < f->n_attribute ? f->attribute[i] : f->attribute_proto[i - f->n_attribute]->name;
		if (!check_add(c, &seen, check_or_empty(name), 0, NULL))
			check_found(c, RULE_FUNCTION_ATTRIBUTE, NULL, NULL, "attribute '%.100s' is declared twice",
			            check_or_empty(name));
	}
	for (size_t i = 0; i < f->n_attribute_proto; i++)
		check_attribute(c, f->attribute_proto[i], NULL);
	name_table_free(&seen);
}

/* Walks one body; *calls takes the functions that it calls. */
static void check_function(struct checker *c, size_t i, struct name_table *calls)
{
	Onnx__FunctionProto *f = c->doc->model->functions[i];
	struct name_table outside = c->imports;
	c->imports = (struct name_table){ 0 };
	c->graph = label_of(c, f);
	c->function = (int64_t)i;
	c->calls = calls;
	check_imports(c, f->opset_import, f->n_opset_import);
	check_metadata(c, f->metadata_props, f->n_metadata_props);
	check_declared_attributes(c, f);
	check_body(c, f);
	name_table_free(&c->imports);
	c->imports = outside;
	c->function = -1;
	c->calls = NULL;
}

/* Who calls whom, as lists: callees of function i are to[start[i] .. start[i + 1]). */
struct calls {
	size_t *start, *to, n_to, cap;
	size_t n;
};

static bool append_call(struct calls *k, size_t callee)
{
	void *to = k->to;
	if (!tm_grow(&to, &k->cap, k->n_to + 1, sizeof *k->to))
		return false;
	k->to = to;
	k->to[k->n_to++] = callee;
	return true;
}

static int by_index(const void *a, const void *b)
{
	size_t x = *(const size_t *)a, y = *(const size_t *)b;
	return (x > y) - (x < y);
}

/* The functions called by i, each once, in ascending order: the table's own order changes from run to run. */
static bool collect(struct checker *c, struct calls *k, size_t i)
{
	struct name_table called = { 0 };
	bool ok = true;
	check_function(c, i, &called);
	for (size_t slot = 0; ok && slot < called.cap; slot++) {
		int64_t callee;
		if (name_table_at(&called, slot, &callee))
			ok = append_call(k, (size_t)callee);
	}
	name_table_free(&called);
	if (k->n_to > k->start[i])
		qsort(k->to + k->start[i], k->n_to - k->start[i], sizeof *k->to, by_index);
	k->start[i + 1] = k->n_to;
	return ok;
}

/* Depth-first search with the state of each function: a call to one that is still open closes a circle. */
enum { UNSEEN, OPEN, DONE };

static void search_from(struct checker *c, const struct calls *k, size_t root, uint8_t *state, size_t *path,
                        size_t *next)
{
	size_t depth = 0;
	path[depth++] = root;
	state[root] = OPEN;
	next[root] = k->start[root];
	while (depth > 0) {
		size_t f = path[depth - 1];
		if (next[f] == k->start[f + 1]) {
			state[f] = DONE;
			depth--;
			continue;
		}
		size_t callee = k->to[next[f]++];
		if (state[callee] == OPEN) {
			c->graph = label_of(c, c->doc->model->functions[callee]);
			check_found(c, RULE_FUNCTION_RECURSIVE, NULL, NULL,
			            "the function calls itself, directly or through others");
		} else if (state[callee] == UNSEEN) {
			state[callee] = OPEN;
			next[callee] = k->start[callee];
			path[depth++] = callee;
		}
	}
}

static void check_recursion(struct checker *c, const struct calls *k)
{
	uint8_t *state = tm_array(k->n, 1);
	size_t *path = tm_array(k->n, sizeof *path), *next = tm_array(k->n, sizeof *next);
	if (!state || !path || !next)
		c->no_memory = true;
	for (size_t i = 0; !c->no_memory && i < k->n; i++)
		if (state[i] == UNSEEN)
			search_from(c, k, i, state, path, next);
	free(state);
	free(path);
	free(next);
}

void check_functions(struct checker *c)
{
	const Onnx__ModelProto *m = c->doc->model;
	struct calls k = { .n = m->n_functions };
	if (m->n_functions == 0)
		return;
	if (c->ir < 8)
		check_found(c, RULE_FUNCTION_IR, NULL, NULL, "functions stand in a model of IR %lld", (long long)c->ir);
	for (size_t i = 0; i < m->n_functions; i++)
		declare(c, i);
	k.start = tm_array(m->n_functions + 1, sizeof *k.start);
	bool ok = k.start != NULL;
	for (size_t i = 0; ok && i < m->n_functions; i++)
		ok = collect(c, &k, i);
	c->no_memory = c->no_memory || !ok;
	if (ok)
		check_recursion(c, &k);
	free(k.start);
	free(k.to);
}
