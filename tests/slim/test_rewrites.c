/* SPDX-License-Identifier: Apache-2.0 */
/* Biases that come and go, tensors that change their storage, and what is written about it. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "exec/plan.h"
#include "onnx/check.h"
#include "onnx/edit.h"
#include "onnx/payload.h"
#include "ops/table.h"
#include "slim/biases.h"
#include "slim/provenance.h"
#include "slim/storage.h"

#define DIMS(...) ((const int64_t[]){ __VA_ARGS__ })

/* ---- biases -------------------------------------------------------------------------------------------- */

struct index {
	struct graph *g;
	struct program *p;
	struct plan *plan;
	struct layers l;
};

static void open_index(struct document *d, int64_t width, struct index *x)
{
	const struct program_options options = { .merge_norms = false };
	const struct layer_filter filter = { .only = NULL };
	struct tensor in;

	cr_assert_eq(graph_build(d, &op_table, &x->g, NULL), TAMIS_OK);
	cr_assert_eq(program_create(x->g, &options, &x->p, NULL), TAMIS_OK);
	cr_assert_eq(tensor_shape(&in, DT_FLOAT, 2, DIMS(1, width), NULL), TAMIS_OK);
	in.data = NULL;
	cr_assert_eq(plan_create(x->p, &in, &x->plan, NULL), TAMIS_OK);
	cr_assert_eq(layers_find(x->g, x->plan, &filter, &x->l, NULL), TAMIS_OK);
}

static void close_index(struct index *x)
{
	layers_free(&x->l);
	plan_free(x->plan);
	program_free(x->p);
	graph_free(x->g);
}

/* x[N,6] -> MatMul -> Relu -> Gemm without C -> Gemm with a C, twice with the same vector, then with a
 * number. */
static struct document *biasless(void)
{
	struct document *d = build_model(13);
	struct rng r = rng_make(60, 0);

	build_input(d, "x", 2, DIMS(-1, 6));
	build_output(d, "y", 2, DIMS(-1, 3));
	build_floats(d, "w1", 2, DIMS(6, 5), 1, &r);
	build_floats(d, "w2", 2, DIMS(5, 4), 1, &r);
	build_floats(d, "w3", 2, DIMS(4, 4), 1, &r);
	build_floats(d, "w4", 2, DIMS(4, 4), 1, &r);
	build_floats(d, "w5", 2, DIMS(4, 3), 1, &r);
	build_floats(d, "c", 1, DIMS(4), 1, &r);
	build_floats(d, "e", 1, DIMS(1), 1, &r);
	build_node(d, "MatMul", "x w1", "h");
	build_node(d, "Relu", "h", "a");
	build_node(d, "Gemm", "a w2", "b");
	build_node(d, "Gemm", "b w3 c", "i");
	build_node(d, "Gemm", "i w4 c", "k");
	build_node(d, "Gemm", "k w5 e", "y");
	return d;
}

static bool same_outputs(const float *a, const float *b, int64_t n)
{
	return !memcmp(a, b, (size_t)n * sizeof *a);
}

Test(biases, each_layer_gets_one_of_its_own)
{
	struct document *d = biasless();
	struct tamis_error err = { 0 };
	struct index x;
	int64_t n;
	int added = 0;
	float *before = build_run(d, 4, 1, &n), *after;

	open_index(d, 6, &x);
	cr_assert_eq(x.l.n, 5);
	cr_assert_eq(biases_add(d, x.g, &x.l, &added, &err), TAMIS_OK, "%s", err.message);
	cr_assert_eq(added, 5);
	close_index(&x);
	cr_assert_eq(check_or_fail(d, &err), TAMIS_OK, "%s", err.message);
	after = build_run(d, 4, 1, &n);
	cr_assert(same_outputs(before, after, n));
	open_index(d, 6, &x);
	for (int i = 0; i < 5; i++)
		cr_assert_eq(x.l.list[i].bias_kind, i % 4 ? BIAS_INPUT : BIAS_ADD);
	close_index(&x);
	free(before);
	free(after);
	doc_free(d);
}

Test(biases, zero_ones_leave_again)
{
	struct document *d = biasless();
	struct index x;
	int64_t n;
	int added = 0;
	size_t nodes = d->model->graph->n_node;
	float *before = build_run(d, 4, 1, &n), *after;

	open_index(d, 6, &x);
	cr_assert_eq(biases_add(d, x.g, &x.l, &added, NULL), TAMIS_OK);
	close_index(&x);
	cr_assert_eq(d->model->graph->n_node, nodes + 2);
	cr_assert_eq(biases_drop(d, NULL), TAMIS_OK);
	cr_assert_eq(d->model->graph->n_node, nodes);
	cr_assert_eq(d->model->graph->node[2]->n_input, 2);
	cr_assert_eq(check_or_fail(d, NULL), TAMIS_OK);
	after = build_run(d, 4, 1, &n);
	cr_assert(same_outputs(before, after, n));
	free(before);
	free(after);
	doc_free(d);
}

Test(biases, used_ones_stay)
{
	struct document *d = biasless();
	struct index x;
	int added = 0;

	open_index(d, 6, &x);
	cr_assert_eq(biases_add(d, x.g, &x.l, &added, NULL), TAMIS_OK);
	close_index(&x);
	build_elements(d, "w1_tamis_bias")[2] = 1;
	cr_assert_eq(biases_drop(d, NULL), TAMIS_OK);
	cr_assert_not_null(build_elements(d, "w1_tamis_bias"));
	cr_assert_null(build_elements(d, "w2_tamis_bias"));
	doc_free(d);
}

/* ---- storage ------------------------------------------------------------------------------------------- */

static const char *const stored[] = { "dense", "thin" };

/* Two tensors of 1,000 floats, one with ten of them not zero; IR 4. */
static struct document *two_tensors(void)
{
	struct document *d = build_model(13);
	struct rng r = rng_make(61, 0);
	float *thin;

	d->model->ir_version = 4;
	build_input(d, "x", 2, DIMS(-1, 50));
	build_output(d, "y", 2, DIMS(-1, 50));
	build_floats(d, "dense", 2, DIMS(50, 20), 1, &r);
	thin = build_floats(d, "thin", 2, DIMS(20, 50), 1, &r);
	for (int i = 0; i < 1000; i++)
		thin[i] = i % 100 ? 0 : thin[i];
	build_node(d, "MatMul", "x dense", "h");
	build_node(d, "MatMul", "h thin", "y");
	return d;
}

Test(storage, the_smaller_form_is_taken)
{
	struct document *d = two_tensors();
	uint64_t before = doc_packed_bytes(d), bytes;
	bool raised;
	int64_t n;
	float *a = build_run(d, 2, 1, &n), *b;

	cr_assert_eq(storage_choose(d, stored, 2, STORAGE_AUTO, &raised, &bytes, NULL), TAMIS_OK);
	cr_assert(raised);
	cr_assert_eq(d->model->ir_version, 5);
	cr_assert_eq(d->model->graph->n_initializer, 1);
	cr_assert_eq(d->model->graph->n_sparse_initializer, 1);
	cr_assert_str_eq(d->model->graph->sparse_initializer[0]->values->name, "thin");
	cr_assert_lt(doc_packed_bytes(d), before - 3500);
	cr_assert_eq(check_or_fail(d, NULL), TAMIS_OK);
	b = build_run(d, 2, 1, &n);
	cr_assert(same_outputs(a, b, n));
	free(a);
	free(b);
	doc_free(d);
}

/* The bytes that are told are those of the entries in the file, and there and back again nothing is lost. */
Test(storage, told_bytes_are_those_of_the_file)
{
	static const enum storage_rule rules[] = { STORAGE_SPARSE, STORAGE_DENSE, STORAGE_AUTO, STORAGE_AUTO,
		STORAGE_DENSE };
	struct document *d = two_tensors();
	uint64_t rest = 0, bytes;
	bool raised;
	int64_t n;
	float *a = build_run(d, 2, 1, &n), *b;

	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
		Onnx__GraphProto *g = d->model->graph;

		cr_assert_eq(storage_choose(d, stored, 2, rules[i], &raised, &bytes, NULL), TAMIS_OK);
		cr_assert_eq(raised, i == 0);
		cr_assert_eq(g->n_sparse_initializer, rules[i] == STORAGE_SPARSE ? 2 : rules[i] == STORAGE_AUTO);
		cr_assert_eq(g->n_initializer + g->n_sparse_initializer, 2);
		if (i == 0)
			rest = onnx__graph_proto__get_packed_size(g) - bytes;
		cr_assert_eq(onnx__graph_proto__get_packed_size(g), rest + bytes);
		b = build_run(d, 2, 1, &n);
		cr_assert(same_outputs(a, b, n));
		free(b);
	}
	free(a);
	doc_free(d);
}

Test(storage, graph_inputs_stay_dense)
{
	struct document *d = two_tensors();
	uint64_t bytes;
	bool raised;

	build_input(d, "thin", 2, DIMS(20, 50));
	cr_assert_eq(storage_choose(d, stored, 2, STORAGE_SPARSE, &raised, &bytes, NULL), TAMIS_OK);
	cr_assert_not_null(build_elements(d, "thin"));
	cr_assert_null(build_elements(d, "dense"));
	doc_free(d);
}

/* ---- provenance ---------------------------------------------------------------------------------------- */

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

Test(provenance, what_is_written_is_found)
{
	struct document *d = two_tensors();
	struct provenance p = { .version = "0.1.0", .options = "criterion=pii", .source_sha256 = HEX,
		.calibration_sha256 = HEX,
		.gate = "fine" };
	struct tamis_error err = { 0 };

	cr_assert_eq(provenance_check(d, NULL, &err), TAMIS_E_INVALID);
	cr_assert_eq(provenance_write(d, &p, NULL), TAMIS_OK);
	cr_assert_eq(provenance_check(d, HEX, NULL), TAMIS_OK);
	cr_assert_eq(d->model->n_metadata_props, 5);
	p.calibration_sha256 = NULL;
	cr_assert_eq(provenance_write(d, &p, NULL), TAMIS_OK);
	cr_assert_eq(d->model->n_metadata_props, 4);
	cr_assert_eq(provenance_check(d, HEX, NULL), TAMIS_OK);
	doc_free(d);
}

Test(provenance, what_is_wrong_is_named)
{
	static const struct { const char *key, *value; } rows[] = { { "tamis.version", "new" }, { "tamis.version",
		"1." },
		{ "tamis.source_sha256", "abc" }, { "tamis.calibration_sha256", "" }, { "tamis.gate", NULL },
		{ "tamis.options", "" } };
	struct provenance p = { .version = "0.1.0", .options = "criterion=pii", .source_sha256 = HEX,
		.gate = "fine" };

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct document *d = two_tensors();
		struct tamis_error err = { 0 };

		cr_assert_eq(provenance_write(d, &p, NULL), TAMIS_OK);
		if (rows[i].value)
			edit_set_metadata(d, rows[i].key, rows[i].value, NULL);
		else
			edit_remove_metadata(d, rows[i].key);
		cr_assert_eq(provenance_check(d, NULL, &err), TAMIS_E_INVALID, "%s", rows[i].key);
		cr_assert_not_null(strstr(err.message, rows[i].key));
		doc_free(d);
	}
}

Test(provenance, another_source_is_told)
{
	struct document *d = two_tensors();
	struct provenance p = { .version = "0.1.0", .options = "criterion=pii", .source_sha256 = HEX,
		.gate = "fine" };
	struct tamis_error err = { 0 };
	char other[65] = HEX;

	other[3] = 'f';
	cr_assert_eq(provenance_write(d, &p, NULL), TAMIS_OK);
	cr_assert_eq(provenance_check(d, other, &err), TAMIS_E_INVALID);
	cr_assert_not_null(strstr(err.message, other));
	doc_free(d);
}
