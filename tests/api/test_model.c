/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, saving, checking, describing and comparing. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/report.h"
#include "world.h"

Test(model, identity_keeps_every_byte)
{
	struct world w;
	uint8_t *a, *b;
	size_t n, m;

	world_open(&w, 2, 1);
	cr_assert_eq(tamis_model_save(w.model, world_path(&w, "copy.onnx"), NULL, &w.err), TAMIS_OK, "%s",
	             w.err.message);
	a = world_read(world_path(&w, "m.onnx"), &n);
	b = world_read(world_path(&w, "copy.onnx"), &m);
	cr_assert_eq(n, m);
	cr_assert_arr_eq(a, b, n);
	free(a);
	free(b);
	world_close(&w);
}

Test(model, its_own_file_is_written_only_in_place)
{
	struct tamis_save_options o;
	struct world w;

	world_open(&w, 2, 2);
	cr_assert_eq(tamis_model_save(w.model, world_path(&w, "m.onnx"), NULL, &w.err), TAMIS_E_USAGE);
	tamis_save_options_default(&o);
	o.in_place = true;
	tamis_error_clear(&w.err);
	cr_assert_eq(tamis_model_save(w.model, world_path(&w, "m.onnx"), &o, &w.err), TAMIS_OK, "%s",
	             w.err.message);
	cr_assert_eq(tamis_model_save(w.model, "/nowhere/at/all.onnx", NULL, NULL), TAMIS_E_OUTPUT);
	world_close(&w);
}

Test(model, null_is_usage_and_close_takes_it)
{
	struct tamis_model *m = NULL;
	struct tamis_report *r = NULL;
	struct tamis_calibration *c = NULL;
	char *text = NULL;

	cr_assert_eq(tamis_model_open(NULL, NULL, &m, NULL), TAMIS_E_USAGE);
	cr_assert_eq(tamis_model_open("x", NULL, NULL, NULL), TAMIS_E_USAGE);
	cr_assert_eq(tamis_model_open_memory(NULL, 5, NULL, NULL, &m, NULL), TAMIS_E_USAGE);
	cr_assert_eq(tamis_model_save(NULL, "x", NULL, NULL), TAMIS_E_USAGE);
	cr_assert_eq(tamis_check(NULL, NULL, &r, NULL, NULL), TAMIS_E_USAGE);
	cr_assert_eq(tamis_check_provenance(NULL, NULL, NULL), TAMIS_E_USAGE);
	cr_assert_eq(tamis_info(NULL, NULL, &r, NULL), TAMIS_E_USAGE);
	cr_assert_eq(tamis_calibration_open(NULL, NULL, 0, NULL, &c, NULL), TAMIS_E_USAGE);
	cr_assert_eq(tamis_calibration_from_reader(NULL, NULL, &c, NULL), TAMIS_E_USAGE);
	cr_assert_eq(tamis_slim(NULL, NULL, NULL, &r, NULL), TAMIS_E_USAGE);
	cr_assert_eq(tamis_run(NULL, NULL, NULL, NULL, NULL), TAMIS_E_USAGE);
	cr_assert_eq(tamis_compare(NULL, NULL, NULL, NULL, &r, NULL), TAMIS_E_USAGE);
	cr_assert_eq(tamis_report_text(NULL, &text, NULL), TAMIS_E_USAGE);
	tamis_model_close(NULL);
	tamis_calibration_close(NULL);
	tamis_report_free(NULL);
	tamis_load_options_default(NULL);
}

Test(model, what_is_no_model_is_refused)
{
	struct tamis_model *m = NULL;
	struct tamis_load_options o;
	struct world w;
	uint8_t *data;
	size_t n;

	world_open(&w, 2, 3);
	cr_assert_eq(tamis_model_open(world_path(&w, "absent.onnx"), NULL, &m, &w.err), TAMIS_E_INVALID);
	cr_assert_not_null(strstr(w.err.file, "absent.onnx"));
	cr_assert_eq(tamis_model_open(w.dir, NULL, &m, NULL), TAMIS_E_INVALID);
	cr_assert_eq(tamis_model_open(world_path(&w, "x.npy"), NULL, &m, NULL), TAMIS_E_INVALID);
	cr_assert_eq(tamis_model_open_memory("", 0, NULL, NULL, &m, NULL), TAMIS_E_INVALID);
	tamis_load_options_default(&o);
	o.max_bytes = 10;
	cr_assert_neq(tamis_model_open(world_path(&w, "m.onnx"), &o, &m, NULL), TAMIS_OK);
	data = world_read(world_path(&w, "m.onnx"), &n);
	for (size_t i = 0; i < n; i++) {
		cr_assert_neq(tamis_model_open_memory(data, i, NULL, NULL, &m, NULL), TAMIS_OK, "%zu of %zu bytes", i,
		              n);
		cr_assert_null(m);
	}
	cr_assert_eq(tamis_model_open_memory(data, n, NULL, NULL, &m, NULL), TAMIS_OK);
	tamis_model_close(m);
	free(data);
	world_close(&w);
}

/* Tensors in a file of their own: not from memory without a directory. */
Test(model, memory_opens_no_files)
{
	struct tamis_save_options o;
	struct tamis_model *m = NULL;
	struct world w;
	struct document *d = build_model(13);
	struct rng r = rng_make(4, 0);
	uint8_t *data;
	size_t n;

	world_open(&w, 2, 4);
	build_input(d, "x", 2, (const int64_t[]){ -1, 32 });
	build_output(d, "y", 2, (const int64_t[]){ -1, 32 });
	build_floats(d, "w", 2, (const int64_t[]){ 32, 32 }, 1, &r);
	build_node(d, "MatMul", "x w", "y");
	world_write_model(d, world_path(&w, "big.onnx"));
	cr_assert_eq(tamis_model_open(world_path(&w, "big.onnx"), NULL, &m, NULL), TAMIS_OK);
	tamis_save_options_default(&o);
	o.external_data = true;
	cr_assert_eq(tamis_model_save(m, world_path(&w, "out.onnx"), &o, &w.err), TAMIS_OK, "%s", w.err.message);
	tamis_model_close(m);
	data = world_read(world_path(&w, "out.onnx"), &n);
	cr_assert_eq(tamis_model_open_memory(data, n, NULL, NULL, &m, &w.err), TAMIS_E_INVALID);
	cr_assert_str_eq(w.err.tensor, "w");
	cr_assert_eq(tamis_model_open_memory(data, n, NULL, NULL, &m, NULL), TAMIS_E_INVALID, "told nobody");
	cr_assert_eq(tamis_model_open_memory(data, n, w.dir, NULL, &m, NULL), TAMIS_OK);
	tamis_model_close(m);
	free(data);
	world_close(&w);
}

Test(model, every_finding_is_listed)
{
	struct tamis_report *r = NULL;
	struct document *d = build_model(13);
	int64_t errors = -1;
	struct world w;

	world_open(&w, 2, 5);
	cr_assert_eq(tamis_check(world_path(&w, "m.onnx"), NULL, &r, &errors, NULL), TAMIS_OK);
	cr_assert_eq(errors, 0);
	tamis_report_free(r);
	build_input(d, "x", 2, (const int64_t[]){ -1, 3 });
	build_output(d, "y", 2, (const int64_t[]){ -1, 3 });
	build_output(d, "z", 2, (const int64_t[]){ -1, 3 });
	build_node(d, "Relu", "q", "y");
	world_write_model(d, world_path(&w, "bad.onnx"));
	cr_assert_eq(tamis_check(world_path(&w, "bad.onnx"), NULL, &r, &errors, NULL), TAMIS_OK);
	cr_assert_geq(errors, 2);
	cr_assert_eq((int64_t)r->check.errors, errors);
	cr_assert_geq((int64_t)r->check.n_lines, errors);
	tamis_report_free(r);
	world_close(&w);
}

/* ---- describing ---------------------------------------------------------------------------------------- */

Test(model, info_counts)
{
	struct tamis_report *r = NULL;
	char *text = NULL, *json = NULL;
	struct world w;

	world_open(&w, 2, 6);
	cr_assert_eq(tamis_info(w.model, NULL, &r, &w.err), TAMIS_OK, "%s", w.err.message);
	cr_assert_eq(r->info.figures.nodes, 3);
	cr_assert_eq(r->info.figures.parameters, 16 * 8 + 16 + 4 * 16 + 4);
	cr_assert_eq(r->info.figures.connections, 16 * 8 + 4 * 16);
	cr_assert_eq(r->info.figures.macs, 16 * 8 + 4 * 16);
	cr_assert_eq(r->info.figures.channels, 20);
	cr_assert_eq(r->info.n_layers, 2);
	cr_assert(r->info.layers[0].slimmable);
	cr_assert_str_eq(r->info.inputs, "x: float[N,8]");
	cr_assert_str_eq(r->info.opsets, "ai.onnx 13");
	cr_assert_eq(tamis_report_text(r, &text, NULL), TAMIS_OK);
	cr_assert_eq(tamis_report_json(r, &json, NULL), TAMIS_OK);
	cr_assert_not_null(strstr(json, "\"tamis.info/1\""));
	free(text);
	free(json);
	tamis_report_free(r);
	world_close(&w);
}

/* The last initializer becomes what a Constant node makes. */
static void into_node(struct document *d)
{
	Onnx__GraphProto *g = d->model->graph;
	Onnx__TensorProto *t = g->initializer[g->n_initializer - 1];
	Onnx__NodeProto *n = build_node(d, "Constant", "", t->name);
	Onnx__AttributeProto *a;

	build_attribute(d, n, "value", 1, (const int64_t[]){ 0 });
	a = n->attribute[0];
	a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR;
	a->n_ints = 0;
	a->t = t;
	g->n_initializer--;
}

/* Paddle's exporter writes all weights as Constant nodes: they are parameters of slimmed models and in tamis_info. */
Test(model, constant_nodes_hold_parameters_too)
{
	struct world w;
	struct document *d = build_model(17);
	struct rng rng = rng_make(5, 0);
	struct tamis_slim_options o;
	struct tamis_calibration *c;
	struct tamis_report *r = NULL;
	struct tamis_model *m;

	world_open(&w, 700, 3);
	build_input(d, "x", 2, (const int64_t[]){ -1, WIDTH });
	build_output(d, "y", 2, (const int64_t[]){ -1, CLASSES });
	build_floats(d, "w", 2, (const int64_t[]){ WIDTH, CLASSES }, 1, &rng)[3] = 0;
	into_node(d);
	build_node(d, "MatMul", "x w", "y");
	world_write_model(d, world_path(&w, "c.onnx"));
	cr_assert_eq(tamis_model_open(world_path(&w, "c.onnx"), NULL, &m, &w.err), TAMIS_OK, "%s", w.err.message);
	cr_assert_eq(tamis_info(m, NULL, &r, &w.err), TAMIS_OK, "%s", w.err.message);
	cr_assert_eq(r->info.figures.initializers, 0);
	cr_assert_eq(r->info.figures.parameters, WIDTH * CLASSES);
	cr_assert_eq(r->info.figures.nonzeros, WIDTH * CLASSES - 1);
	tamis_report_free(r);
	c = world_items(&w);
	tamis_slim_options_default(&o);
	o.tolerance = 1;
	o.keep = 0.5;
	cr_assert_eq(tamis_slim(m, c, &o, &r, &w.err), TAMIS_OK, "%s", w.err.message);
	cr_assert_geq(r->slim.before.parameters, WIDTH * CLASSES);
	cr_assert_eq(r->slim.before.nonzeros, WIDTH * CLASSES - 1);
	tamis_report_free(r);
	tamis_model_close(m);
	tamis_calibration_close(c);
	world_close(&w);
}

/* The hidden units may go; those at the edges of the graph say why they may not. */
Test(model, info_groups)
{
	struct tamis_info_options o;
	struct tamis_report *r = NULL;
	struct world w;
	int free_ones = 0;

	world_open(&w, 2, 6);
	tamis_info_options_default(&o);
	cr_assert_not(o.groups);
	o.groups = true;
	cr_assert_eq(tamis_info(w.model, &o, &r, &w.err), TAMIS_OK, "%s", w.err.message);
	cr_assert_eq(r->info.n_groups, 3);
	for (size_t i = 0; i < 3; i++) {
		const struct info_group *g = &r->info.groups[i];

		if (g->why)
			continue;
		free_ones++;
		cr_assert_eq(g->units, 16);
		cr_assert_eq(g->macs, 8 + 4);
		cr_assert_eq(g->bytes, 4 * (8 + 1 + 4));
		cr_assert_str_eq(g->members[0].role, "makes");
	}
	cr_assert_eq(free_ones, 1);
	tamis_report_free(r);
	world_close(&w);
}

/* An empty tensor may have axes of any length; that many positions are refused, not added up to a few. */
Test(model, info_groups_of_endless_axes)
{
	const int64_t dims[] = { 0, INT64_MAX, 2 };
	struct document *d = build_model(13);
	struct tamis_info_options o;
	struct tamis_report *r = NULL;
	struct tamis_model *m = NULL;
	struct world w;

	world_open(&w, 2, 7);
	build_input(d, "x", 3, dims);
	build_output(d, "y", 3, dims);
	build_node(d, "Relu", "x", "y");
	world_write_model(d, world_path(&w, "empty.onnx"));
	cr_assert_eq(tamis_model_open(world_path(&w, "empty.onnx"), NULL, &m, &w.err), TAMIS_OK, "%s", w.err.message);
	tamis_info_options_default(&o);
	o.groups = true;
	cr_expect_eq(tamis_info(m, &o, &r, &w.err), TAMIS_E_MEMORY);
	cr_expect_not_null(strstr(w.err.message, "positions"), "%s", w.err.message);
	cr_expect_null(r);
	tamis_model_close(m);
	world_close(&w);
}

/* A node whose only output is left out ties nothing: what the Gemm makes may go all the same. */
Test(model, info_groups_beside_a_node_for_nothing)
{
	static const char *const ops[] = { "Shape", "Relu", "Flatten", "Identity", "Transpose", "ReduceSum", "Softmax" };

	for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
		struct tamis_info_options o;
		struct tamis_report *r = NULL;
		struct tamis_model *m = NULL;
		struct document *d = NULL;
		struct world w;

		world_open(&w, 2, 6);
		cr_assert_eq(doc_load(world_path(&w, "m.onnx"), NULL, &d, NULL), TAMIS_OK);
		build_node(d, ops[i], "x", "-");
		world_write_model(d, world_path(&w, "idle.onnx"));
		cr_assert_eq(tamis_model_open(world_path(&w, "idle.onnx"), NULL, &m, &w.err), TAMIS_OK, "%s", w.err.message);
		tamis_info_options_default(&o);
		o.groups = true;
		cr_assert_eq(tamis_info(m, &o, &r, &w.err), TAMIS_OK, "%s: %s", ops[i], w.err.message);
		cr_expect_eq(r->info.n_groups, 3, "%s: %zu groups", ops[i], r->info.n_groups);
		tamis_report_free(r);
		tamis_model_close(m);
		world_close(&w);
	}
}

/* What tamis cannot run it still describes. */
Test(model, info_of_the_unknown)
{
	struct tamis_report *r = NULL;
	struct tamis_model *m = NULL;
	struct document *d = build_model(13);
	struct world w;

	world_open(&w, 2, 7);
	build_input(d, "x", 2, (const int64_t[]){ -1, 3 });
	build_output(d, "y", 2, (const int64_t[]){ -1, 3 });
	build_node(d, "Relu", "x", "h");
	build_node(d, "Frobnicate", "h", "y");
	world_write_model(d, world_path(&w, "odd.onnx"));
	cr_assert_eq(tamis_model_open(world_path(&w, "odd.onnx"), NULL, &m, &w.err), TAMIS_OK, "%s",
	             w.err.message);
	cr_assert_eq(tamis_info(m, NULL, &r, &w.err), TAMIS_OK, "%s", w.err.message);
	cr_assert_eq(r->info.n_ops, 2);
	cr_assert_not(r->info.ops[0].supported);
	cr_assert(r->info.ops[1].supported);
	cr_assert_eq(r->info.figures.macs, -1);
	cr_assert_eq(r->n_warnings, 1);
	tamis_report_free(r);
	tamis_model_close(m);
	world_close(&w);
}

Test(model, info_takes_shapes)
{
	static const struct { const char *shape; enum tamis_status status; double macs; } rows[] = {
		{ NULL, TAMIS_OK, -1 }, { "x:1,5,3", TAMIS_OK, 5 * 3 * 2 }, { "x:1,7,3", TAMIS_OK, 7 * 3 * 2 },
		{ "x:1,5,4", TAMIS_E_USAGE, 0 }, { "x:1,5", TAMIS_E_USAGE, 0 }, { "y:1,5,3", TAMIS_E_USAGE, 0 },
		{ "x:1,5,3,", TAMIS_E_USAGE, 0 }, { "x:1,-5,3", TAMIS_E_USAGE, 0 }, { "x", TAMIS_E_USAGE, 0 },
		{ "x:1,5,3x", TAMIS_E_USAGE, 0 }, { "x:1,99999999999999999999,3", TAMIS_E_USAGE, 0 } };
	struct document *d = build_model(13);
	struct tamis_model *m = NULL;
	struct rng r = rng_make(8, 0);
	struct world w;

	world_open(&w, 2, 8);
	build_input(d, "x", 3, (const int64_t[]){ -1, -1, 3 });
	build_output(d, "y", 3, (const int64_t[]){ -1, -1, 2 });
	build_floats(d, "w", 2, (const int64_t[]){ 3, 2 }, 1, &r);
	build_node(d, "MatMul", "x w", "y");
	world_write_model(d, world_path(&w, "open.onnx"));
	cr_assert_eq(tamis_model_open(world_path(&w, "open.onnx"), NULL, &m, NULL), TAMIS_OK);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct tamis_report *report = NULL;
		struct tamis_info_options o;

		tamis_info_options_default(&o);
		o.shapes = &rows[i].shape;
		o.n_shapes = rows[i].shape != NULL;
		cr_assert_eq(tamis_info(m, &o, &report, NULL), rows[i].status, "%s", rows[i].shape);
		if (report)
			cr_assert_eq(report->info.figures.macs, rows[i].macs, "%s", rows[i].shape);
		tamis_report_free(report);
	}
	tamis_model_close(m);
	world_close(&w);
}

/* ---- comparing ----------------------------------------------------------------------------------------- */

Test(model, a_model_agrees_with_itself)
{
	struct tamis_calibration *c;
	struct tamis_report *r = NULL;
	struct world w;

	world_open(&w, 50, 9);
	c = world_items(&w);
	cr_assert_eq(tamis_compare(w.model, w.model, c, NULL, &r, &w.err), TAMIS_OK, "%s", w.err.message);
	cr_assert_eq(r->compare.items, 50);
	cr_assert_eq(r->compare.agree, 50);
	cr_assert_eq(r->compare.agree_upper, 1);
	cr_assert_float_eq(r->compare.agree_lower, pow(0.025, 1.0 / 50), 1e-6);
	cr_assert_eq(r->compare.max_abs, 0);
	cr_assert_eq(r->compare.relative_squared_error, 0);
	cr_assert_eq(r->compare.expected_loss, 0);
	tamis_report_free(r);
	tamis_calibration_close(c);
	world_close(&w);
}

/* A model with its classes turned by one agrees nowhere; labels from the first make it right and the other
 * wrong. */
Test(model, labels_tell_who_is_right)
{
	struct tamis_calibration_options o;
	struct tamis_calibration *c;
	struct tamis_model *turned = NULL;
	struct tamis_report *r = NULL;
	struct world w;
	struct document *d = NULL;
	const char *specs[1];
	int64_t labels[40], n;
	float *logits;

	world_open(&w, 40, 10);
	cr_assert_eq(doc_load(world_path(&w, "m.onnx"), NULL, &d, NULL), TAMIS_OK);
	{
		float *w2 = build_elements(d, "w2"), *b2 = build_elements(d, "b2"), row[16], last = b2[CLASSES - 1];

		memcpy(row, w2 + 16 * (CLASSES - 1), sizeof row);
		memmove(w2 + 16, w2, sizeof row * (CLASSES - 1));
		memcpy(w2, row, sizeof row);
		memmove(b2 + 1, b2, sizeof *b2 * (CLASSES - 1));
		b2[0] = last;
	}
	world_write_model(d, world_path(&w, "turned.onnx"));
	cr_assert_eq(tamis_model_open(world_path(&w, "turned.onnx"), NULL, &turned, NULL), TAMIS_OK);
	cr_assert_eq(doc_load(world_path(&w, "m.onnx"), NULL, &d, NULL), TAMIS_OK);
	logits = build_run(d, 40, 11, &n);
	world_write_npy(world_path(&w, "x.npy"), DT_FLOAT, 2, (const int64_t[]){ 40, WIDTH }, w.items);
	/* build_run draws stream 0 of its seed: the same numbers as items. */
	{
		struct rng s = rng_make(11, 0);

		for (int64_t i = 0; i < 40 * WIDTH; i++)
			w.items[i] = (float)rng_normal(&s);
	}
	world_write_npy(world_path(&w, "x.npy"), DT_FLOAT, 2, (const int64_t[]){ 40, WIDTH }, w.items);
	for (int64_t i = 0; i < 40; i++) {
		labels[i] = 0;
		for (int64_t k = 1; k < CLASSES; k++)
			if (logits[i * CLASSES + k] > logits[i * CLASSES + labels[i]])
				labels[i] = k;
	}
	world_write_npy(world_path(&w, "l.npy"), DT_INT64, 1, (const int64_t[]){ 40 }, labels);
	tamis_calibration_options_default(&o);
	o.labels = world_path(&w, "l.npy");
	specs[0] = world_path(&w, "x.npy");
	cr_assert_eq(tamis_calibration_open(w.model, specs, 1, &o, &c, &w.err), TAMIS_OK, "%s", w.err.message);
	cr_assert_eq(tamis_compare(w.model, turned, c, NULL, &r, &w.err), TAMIS_OK, "%s", w.err.message);
	cr_assert_eq(r->compare.agree, 0);
	cr_assert_eq(r->compare.accuracy_a, 1);
	cr_assert_eq(r->compare.accuracy_b, 0);
	cr_assert_eq(r->compare.only_a, 40);
	cr_assert_lt(r->compare.mcnemar_p, 1e-11);
	cr_assert_gt(r->compare.expected_loss, 0);
	tamis_report_free(r);
	tamis_calibration_close(c);
	tamis_model_close(turned);
	doc_free(d);
	free(logits);
	world_close(&w);
}

Test(model, only_like_is_compared_with_like)
{
	struct tamis_calibration *c;
	struct tamis_model *other = NULL;
	struct tamis_report *r = NULL;
	struct world w;

	world_open(&w, 5, 12);
	c = world_items(&w);
	cr_assert_eq(tamis_model_open(SAMPLES "/fashion-mlp.onnx", NULL, &other, &w.err), TAMIS_OK, "%s",
	             w.err.message);
	cr_assert_eq(tamis_compare(w.model, other, c, NULL, &r, &w.err), TAMIS_E_INVALID);
	cr_assert_null(r);
	cr_assert_not_null(strstr(w.err.message, "'image'"), "%s", w.err.message);
	tamis_model_close(other);
	tamis_calibration_close(c);
	world_close(&w);
}
