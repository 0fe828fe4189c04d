/* SPDX-License-Identifier: Apache-2.0 */
#include "vector.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exec/runner.h"
#include "onnx/check.h"
#include "onnx/payload.h"
#include "ops/table.h"

#define FLOAT_TOLERANCE 1e-4
#define HALF_TOLERANCE 1e-2

struct trial {
	double tolerance;
	char *why;
	size_t size;
};

struct loaded {
	struct tensor_file *file;
	struct tensor value;
};

static void unload(struct loaded *all, int n)
{
	for (int i = 0; all && i < n; i++) {
		tensor_free(&all[i].value);
		tensor_file_free(all[i].file);
	}
	free(all);
}

/* Older vectors keep bfloat16 as uint16. */
static void as_declared(struct tensor *t, enum dtype type)
{
	if (t->type == DT_UINT16 && type == DT_BFLOAT16)
		t->type = type;
}

static enum tamis_status load(const char *folder, const char *kind, int m, struct loaded *l,
                              struct tamis_error *err)
{
	char path[8400];
	enum tamis_status s;

	snprintf(path, sizeof path, "%s/%s_%d.pb", folder, kind, m);
	s = tensor_file_load(path, NULL, &l->file, err);
	return s == TAMIS_OK ? payload_read(NULL, l->file->proto, &l->value, err) : s;
}

/* ---- Comparing ---- */

static bool strings_agree(const struct tensor *got, const struct tensor *want, int64_t i)
{
	const struct tm_string *a = (const struct tm_string *)got->data + i, *b =
		(const struct tm_string *)want->data + i;

	return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

static bool floats_agree(double got, double want, double relative)
{
	return (isnan(got) && isnan(want)) || got == want || fabs(got - want) <= relative * (fabs(want) + 0.01);
}

static bool element_agrees(const struct tensor *got, const struct tensor *want, int64_t i, double tolerance)
{
	if (got->type == DT_STRING)
		return strings_agree(got, want, i);
	if (tolerance == 0)
		tolerance = dtype_bits((int)got->type) == 16 ? HALF_TOLERANCE : FLOAT_TOLERANCE;
	if (dtype_is_float((int)got->type))
		return floats_agree(tensor_get(got, i), tensor_get(want, i), tolerance);
	/* small floats: NaN has many codes */
	if (dtype_kind((int)got->type) == 'o' && dtype_bits((int)got->type) <= 8)
		return floats_agree(tensor_get(got, i), tensor_get(want, i), 0);
	if (dtype_kind((int)got->type) == 'o') {
		size_t size = (size_t)dtype_bits((int)got->type) / 8, at = (size_t)i * size;

		return memcmp((const char *)got->data + at, (const char *)want->data + at, size) == 0;
	}
	return tensor_get_int(got, i) == tensor_get_int(want, i);
}

static bool agrees(const struct tensor *got, const struct tensor *want, const struct trial *t, int output)
{
	char a[128], b[128];

	if (got->type != want->type || !tensor_same_shape(got, want)) {
		snprintf(t->why, t->size, "output %d is %s, expected %s", output, tensor_describe(got, a, sizeof a),
		         tensor_describe(want, b, sizeof b));
		return false;
	}
	for (int64_t i = 0; i < got->count; i++)
		if (!element_agrees(got, want, i, t->tolerance)) {
			snprintf(t->why, t->size, "element %lld of output %d is %.9g, expected %.9g", (long long)i,
			         output,
			         tensor_get(got, i), tensor_get(want, i));
			return false;
		}
	return true;
}

/* ---- Running ---- */

static enum outcome failed(enum tamis_status s, const struct tamis_error *err, const struct trial *t)
{
	snprintf(t->why, t->size, "%s%s%s", err->node[0] ? err->node : "", err->node[0] ? ": " : "",
	         err->message);
	return s == TAMIS_E_UNSUPPORTED ? OUTCOME_REFUSED : OUTCOME_WRONG;
}

static enum outcome compare_outputs(const struct graph *g, const struct runner *r, const char *folder,
                                    const struct trial *t)
{
	struct tamis_error err = {0};
	enum outcome result = OUTCOME_PASS;

	for (int i = 0; result == OUTCOME_PASS && i < g->n_outputs; i++) {
		struct loaded *want = calloc(1, sizeof *want);
		enum tamis_status s = want ? load(folder, "output", i, want, &err) : TAMIS_E_MEMORY;

		if (s != TAMIS_OK)
			result = failed(TAMIS_E_INTERNAL, &err, t);
		else
			as_declared(&want->value, runner_output(r, i)->type);
		if (s == TAMIS_OK && !agrees(runner_output(r, i), &want->value, t, i))
			result = OUTCOME_WRONG;
		unload(want, 1);
	}
	return result;
}

/* Some old vectors contradict their own model: nothing can be said about them. */
static bool is_declared(const struct tensor *t, const struct value *v, const struct trial *trial)
{
	char text[128];

	if (v->declared.rank < 0 || t->rank == v->declared.rank)
		return true;
	snprintf(trial->why, trial->size, "the vector's input %s is %s, not of rank %d as its model declares",
	         v->name,
	         tensor_describe(t, text, sizeof text), v->declared.rank);
	return false;
}

static enum outcome run_set(const struct graph *g, struct runner *r, const char *folder,
                            const struct trial *t)
{
	size_t n = (size_t)g->n_inputs;
	struct loaded *in = calloc(n + 1, sizeof *in);
	struct tensor *feed = calloc(n + 1, sizeof *feed);
	struct tamis_error err = {0};
	enum tamis_status s = in && feed ? TAMIS_OK : TAMIS_E_MEMORY;
	enum outcome result;

	for (int i = 0; s == TAMIS_OK && i < g->n_inputs; i++) {
		s = load(folder, "input", i, &in[i], &err);
		as_declared(&in[i].value, g->values[g->inputs[i]].declared.type);
		feed[i] = in[i].value;
	}
	result = s == TAMIS_OK ? OUTCOME_PASS : failed(TAMIS_E_INTERNAL, &err, t);
	for (int i = 0; result == OUTCOME_PASS && i < g->n_inputs; i++)
		if (!is_declared(&feed[i], &g->values[g->inputs[i]], t))
			result = OUTCOME_REFUSED;
	if (result == OUTCOME_PASS && (s = runner_run(r, feed, NULL, &err)) != TAMIS_OK)
		result = failed(s, &err, t);
	if (result == OUTCOME_PASS)
		result = compare_outputs(g, r, folder, t);
	unload(in, g->n_inputs);
	free(feed);
	return result;
}

static enum outcome run_sets(const struct graph *g, struct runner *r, const char *folder,
                             const struct trial *t)
{
	enum outcome result = OUTCOME_PASS;
	int n = 0;

	for (; result == OUTCOME_PASS; n++) {
		char set[4200];

		snprintf(set, sizeof set, "%s/test_data_set_%d", folder, n);
		if (access(set, F_OK) != 0)
			break;
		result = run_set(g, r, set, t);
	}
	if (n)
		return result;
	snprintf(t->why, t->size, "there is no data set");
	return OUTCOME_REFUSED;
}

/* Sequences, optionals and maps among the graph's inputs or outputs. */
static bool only_tensors(const Onnx__GraphProto *g, const struct trial *t)
{
	for (size_t i = 0; i < g->n_input + g->n_output; i++) {
		const Onnx__ValueInfoProto *v = i < g->n_input ? g->input[i] : g->output[i - g->n_input];

		if (v->type && v->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE) {
			snprintf(t->why, t->size, "%s %s is not a tensor", i < g->n_input ? "input" : "output", v->name);
			return false;
		}
	}
	return true;
}

static enum outcome run_document(struct document *doc, const char *folder, const struct trial *t)
{
	const struct program_options options = {.merge_norms = true};
	struct tamis_error err = {0};
	struct graph *g = NULL;
	struct program *p = NULL;
	struct runner *r = NULL;
	enum outcome result;
	enum tamis_status s = check_or_fail(doc, &err);

	if (s == TAMIS_OK)
		s = graph_build(doc, &op_table, &g, &err);
	if (s == TAMIS_OK)
		s = program_create(g, &options, &p, &err);
	if (s == TAMIS_OK)
		s = runner_create(p, &r, &err);
	if (s != TAMIS_OK)
		result = failed(s, &err, t);
	else if (!only_tensors(doc->model->graph, t))
		result = OUTCOME_REFUSED;
	else
		result = run_sets(g, r, folder, t);
	runner_free(r);
	program_free(p);
	graph_free(g);
	return result;
}

enum outcome vector_run(const char *folder, double tolerance, char *why, size_t size)
{
	const struct trial trial = {tolerance, why, size}, *t = &trial;
	char path[4200];
	struct tamis_error err = {0};
	struct document *doc = NULL;
	enum outcome result;
	enum tamis_status s;

	why[0] = '\0';
	snprintf(path, sizeof path, "%s/model.onnx", folder);
	if (access(path, F_OK) != 0) {
		snprintf(t->why, t->size, "there is no model");
		return OUTCOME_REFUSED;
	}
	s = doc_load(path, NULL, &doc, &err);
	result = s == TAMIS_OK ? run_document(doc, folder, t) : failed(s, &err, t);
	doc_free(doc);
	return result;
}
