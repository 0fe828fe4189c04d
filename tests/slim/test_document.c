/* SPDX-License-Identifier: Apache-2.0 */
/* slim_document from end to end on small models. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "onnx/check.h"
#include "onnx/edit.h"
#include "onnx/payload.h"
#include "slim/score/criteria.h"
#include "slimming.h"
#include "stat/interval.h"

static void expect(struct slimming *s, enum tamis_status want)
{
	enum tamis_status got = slimming_run(s);

	cr_assert_eq(got, want, "status %d, not %d: %s", got, want, s->err.message);
	cr_assert_eq(s->err.status, want);
	cr_assert((want == TAMIS_OK) == (s->out != NULL));
	if (s->out)
		must(check_or_fail(s->out, &s->err), &s->err, "check");
}

static const struct layer_line *line_of(const struct slimming *s, const char *weight)
{
	for (size_t i = 0; i < s->figures.n_layers; i++)
		if (!strcmp(s->figures.layers[i].weight, weight))
			return &s->figures.layers[i];
	cr_assert_fail("no line of weight '%s'", weight);
	return NULL;
}

static bool same_elements(struct document *a, struct document *b, const char *name)
{
	return build_elements(a, name) && build_elements(b, name)
		&& build_extent(a, name, 0) == build_extent(b, name, 0)
		&& !memcmp(build_elements(a, name), build_elements(b, name),
		           (size_t)(build_extent(a, name, 0) * llabs(build_extent(a, name, 1))) * sizeof(float));
}

/* ---- what comes out ----------------------------------------------------------------------------------------- */

/* Held-out items, and the loss on them from the outputs of both documents as they would be written. */
static double held_out_loss(struct slimming *s, int64_t *items)
{
	struct lab before, after;
	double *a, *b, loss = 0;
	int64_t count, classes;
	size_t size;
	uint8_t *bytes = slimming_bytes(s->out, &size), *old = slimming_bytes(s->doc, &size);
	struct document *d = NULL, *e = NULL;

	cr_assert_eq(doc_load_memory(old, size, NULL, NULL, &d, NULL), TAMIS_OK);
	free(bytes);
	free(old);
	bytes = slimming_bytes(s->out, &size);
	cr_assert_eq(doc_load_memory(bytes, size, NULL, NULL, &e, NULL), TAMIS_OK);
	free(bytes);
	lab_open(&before, d, s->shelf.items, 51);
	lab_open(&after, e, s->shelf.items, 51);
	a = lab_outputs(&before, before.graph, 0, &count);
	b = lab_outputs(&after, after.graph, 0, &count);
	classes = count / s->shelf.items;
	*items = 0;
	for (int64_t t = 0; t < s->shelf.items; t++) {
		double u = (double)(rng_hash(s->o.seed, (uint64_t)t) >> 11) * 0x1p-53, sum = 0;
		int64_t x = 0, y = 0;

		if (u < 0.6) /* fewer than 1,600 items: two fifths are held out */
			continue;
		for (int64_t c = 0; c < classes; c++) {
			x = a[t * classes + c] > a[t * classes + x] ? c : x;
			y = b[t * classes + c] > b[t * classes + y] ? c : y;
			sum += exp(a[t * classes + c]);
		}
		loss += (exp(a[t * classes + x]) - exp(a[t * classes + y])) / sum;
		++*items;
	}
	free(a);
	free(b);
	lab_close(&before);
	lab_close(&after);
	return loss / (double)*items;
}

Test(document, slims_and_keeps_its_promise)
{
	struct slimming s;
	uint8_t *before, *after;
	size_t n, m;
	int64_t items;
	double loss;

	slimming_open(&s, net_deep(1), 1200, 51);
	before = slimming_bytes(s.doc, &n);
	expect(&s, TAMIS_OK);
	after = slimming_bytes(s.doc, &m);
	cr_assert(n == m && !memcmp(before, after, n), "the document that came in was changed");
	loss = held_out_loss(&s, &items);
	cr_assert_eq(s.figures.gate.held_out_items, items);
	cr_assert_float_eq(s.figures.gate.value, loss, 1e-5, "%g, not %g", s.figures.gate.value, loss);
	cr_assert(s.figures.gate.passed && s.figures.gate.bound <= 0.1 && s.figures.gate.value <= s.figures.gate.bound);
	cr_assert_lt(s.figures.keep, 0.9);
	cr_assert_lt((double)s.figures.after.connections_nonzero, 0.9 * (double)s.figures.before.connections_nonzero);
	cr_assert_eq(s.figures.before.connections, 1152);
	cr_assert_eq(s.figures.before.parameters, 1152 + 24 + 24 + 4);
	cr_assert_lt(s.figures.after.macs_nonzero, s.figures.before.macs_nonzero);
	cr_assert_eq(s.figures.n_layers, 3);
	cr_assert_eq(s.figures.tests, 20 + 24 + 24);
	cr_assert_geq(s.figures.gate.looks, 1);
	cr_assert_eq((size_t)s.figures.gate.looks, s.figures.n_looks);
	cr_assert_not_null(edit_get_metadata(s.out, "tamis.gate"));
	free(before);
	free(after);
	slimming_close(&s);
}

Test(document, kept_connections_are_counted)
{
	struct slimming s;
	int64_t kept = 0;

	slimming_open(&s, net_deep(2), 600, 52);
	s.o.keep = 0.5;
	s.o.tolerance = 1;
	s.o.granularity = TAMIS_WEIGHT;
	s.o.storage = TAMIS_STORAGE_DENSE;
	expect(&s, TAMIS_OK);
	for (size_t i = 0; i < s.figures.n_layers; i++)
		kept += s.figures.layers[i].kept;
	cr_assert_eq(kept, 576);
	cr_assert_eq(s.figures.after.connections_nonzero, 576);
	cr_assert_eq(s.figures.gate.looks, 1);
	cr_assert_eq(s.figures.channels_removed, 0);
	slimming_close(&s);
}

/* Six of 20 inputs never change: what reads them has no score and goes, and the share that is told is what is left. */
Test(document, connections_without_a_score_are_told_as_cut)
{
	struct slimming s;

	slimming_open(&s, net_deep(2), 600, 52);
	for (int64_t k = 0; k < s.shelf.in[0].count; k++)
		if (k % 20 < 6)
			tensor_set(&s.shelf.in[0], k, 0);
	s.o.keep = 0.999;
	s.o.tolerance = 1;
	s.o.granularity = TAMIS_WEIGHT;
	expect(&s, TAMIS_OK);
	cr_assert_float_eq(s.figures.keep, (1152 - 6 * 24) / 1152.0, 1e-12, "%g", s.figures.keep);
	cr_assert_eq(s.figures.after.connections_nonzero, 1152 - 6 * 24);
	slimming_close(&s);
}

Test(document, no_cut_passes)
{
	struct slimming s;

	slimming_open(&s, net_deep(4), 600, 54);
	s.o.tolerance = 0;
	expect(&s, TAMIS_E_GATE);
	s.o.keep = 0.02;
	s.o.tolerance = 0.02;
	expect(&s, TAMIS_E_GATE);
	cr_assert_eq(s.figures.gate.looks, 1);
	cr_assert(!s.figures.gate.passed);
	slimming_close(&s);
}

/* 300 items, of which two fifths are held out, bound a loss of nothing by more than 0.01: told before anything is cut. */
Test(document, too_few_items_to_pass)
{
	struct slimming s;
	double bound, zeros[400] = { 0 };
	char want[64];
	int64_t enough = 0;

	slimming_open(&s, net_deep(4), 300, 54);
	s.o.tolerance = 0.01;
	expect(&s, TAMIS_E_GATE);
	cr_expect_eq(s.figures.gate.looks, 0);
	do
		cr_assert_eq(betting_upper(zeros, ++enough, 1 - s.o.confidence, &bound, NULL), TAMIS_OK);
	while (bound > 0.01);
	snprintf(want, sizeof want, "%lld held-out items are needed", (long long)enough);
	cr_expect(strstr(s.err.message, want), "%s", s.err.message);
	s.o.tolerance = 1;
	s.o.max_disagree = 0.001;
	expect(&s, TAMIS_E_GATE);
	cr_expect(strstr(s.err.message, "2995 held-out items are needed"), "%s", s.err.message);
	slimming_close(&s);
}

Test(document, slimming_nothing_changes_nothing)
{
	struct document *(*const make[])(uint64_t) = { net_deep, net_logits, net_probabilities, net_general, net_block };

	for (int i = 0; i < 5; i++) {
		struct slimming s;
		uint8_t *before, *after;
		size_t n, m;

		slimming_open(&s, make[i](5), 40, 55);
		s.o.keep = 1;
		s.o.provenance = false;
		expect(&s, TAMIS_OK);
		before = slimming_bytes(s.doc, &n);
		after = slimming_bytes(s.out, &m);
		cr_assert(n == m && !memcmp(before, after, n), "model %d: %zu bytes became %zu", i, n, m);
		free(before);
		free(after);
		slimming_close(&s);
	}
}

Test(document, weight_granularity_keeps_shapes)
{
	struct slimming s;
	static const char *const names[] = { "w1", "b1", "w2", "b2", "w3", "b3" };

	slimming_open(&s, net_deep(6), 600, 56);
	s.o.keep = 0.1;
	s.o.tolerance = 1;
	s.o.granularity = TAMIS_WEIGHT;
	s.o.storage = TAMIS_STORAGE_DENSE;
	expect(&s, TAMIS_OK);
	for (int i = 0; i < 6; i++)
		for (int a = 0; a < 2; a++)
			cr_assert_eq(build_extent(s.out, names[i], a), build_extent(s.doc, names[i], a));
	s.o.granularity = TAMIS_BOTH;
	s.o.keep = 0.03;
	expect(&s, TAMIS_OK);
	cr_assert_gt(s.figures.channels_removed, 0);
	cr_assert_lt(build_extent(s.out, "w2", 1), 24);
	cr_assert_eq(build_extent(s.out, "w1", 1), build_extent(s.out, "w2", 0));
	slimming_close(&s);
}

/* ---- what is left alone ------------------------------------------------------------------------------------- */

Test(document, only_and_skip)
{
	struct slimming s;

	slimming_open(&s, net_deep(7), 600, 57);
	s.o.keep = 0.5;
	s.o.tolerance = 1;
	s.o.only = "^w2$";
	s.o.granularity = TAMIS_WEIGHT;
	s.o.storage = TAMIS_STORAGE_DENSE;
	expect(&s, TAMIS_OK);
	cr_assert(same_elements(s.doc, s.out, "w1") && same_elements(s.doc, s.out, "w3"));
	cr_assert(same_elements(s.doc, s.out, "b1") && same_elements(s.doc, s.out, "b3"));
	cr_assert_eq(line_of(&s, "w2")->kept, 288);
	cr_assert_str_eq(line_of(&s, "w1")->note, "not named by --only");
	s.o.only = NULL;
	s.o.skip = "w[12]";
	expect(&s, TAMIS_OK);
	cr_assert(same_elements(s.doc, s.out, "w1") && same_elements(s.doc, s.out, "w2"));
	cr_assert_eq(line_of(&s, "w3")->kept, 48);
	s.o.skip = ".";
	expect(&s, TAMIS_E_UNSUPPORTED);
	s.o.skip = "(";
	expect(&s, TAMIS_E_USAGE);
	slimming_close(&s);
}

/* The second layer twice, with the same weight. */
Test(document, tied_weights)
{
	struct document *d = net_deep(8);
	struct slimming s;
	Onnx__NodeProto *n = build_node(d, "Gemm", "a2 w2 b2", "c3");
	Onnx__GraphProto *g = d->model->graph;

	(void)n;
	build_node(d, "Relu", "c3", "a3");
	cr_assert_eq(edit_insert(d, &g->n_node, &g->node, g->n_node, edit_take(&g->n_node, &g->node, 4), NULL), TAMIS_OK);
	cr_assert_eq(edit_string(d, &g->node[6]->input[0], "a3", NULL), TAMIS_OK);
	slimming_open(&s, d, 600, 58);
	s.o.keep = 0.5;
	s.o.tolerance = 1;
	s.o.granularity = TAMIS_WEIGHT;
	s.o.storage = TAMIS_STORAGE_DENSE;
	expect(&s, TAMIS_OK);
	cr_assert(same_elements(s.doc, s.out, "w2"));
	cr_assert_str_eq(line_of(&s, "w2")->note, "its weight is read by other nodes too");
	cr_assert_eq(line_of(&s, "w1")->kept + line_of(&s, "w3")->kept, (480 + 96) / 2);
	slimming_close(&s);
}

Test(document, operators_that_are_not_supported)
{
	struct slimming s;
	struct document *d = net_deep(9);

	slimming_open(&s, d, 20, 59);
	cr_assert_eq(edit_string(d, &d->model->graph->node[1]->op_type, "SequenceEmpty", NULL), TAMIS_OK);
	expect(&s, TAMIS_E_UNSUPPORTED);
	cr_assert_eq(edit_string(d, &d->model->graph->node[1]->op_type, "Frobnicate", NULL), TAMIS_OK);
	expect(&s, TAMIS_E_UNSUPPORTED);
	slimming_close(&s);
}

Test(document, nothing_to_slim)
{
	struct document *d = build_model(17);
	struct slimming s;

	build_input(d, "x", 2, DIMS(-1, 4));
	build_output(d, "y", 2, DIMS(-1, 4));
	build_node(d, "Relu", "x", "y");
	slimming_open(&s, d, 20, 60);
	expect(&s, TAMIS_E_UNSUPPORTED);
	slimming_close(&s);
}

/* ---- kinds of models ---------------------------------------------------------------------------------------- */

static int type_of(struct document *d, const char *name)
{
	for (size_t i = 0; i < d->model->graph->n_initializer; i++)
		if (!strcmp(d->model->graph->initializer[i]->name, name))
			return d->model->graph->initializer[i]->data_type;
	return 0;
}

Test(document, other_float_types)
{
	static const enum dtype types[] = { DT_DOUBLE, DT_FLOAT16, DT_BFLOAT16 };
	struct document *(*const make[])(uint64_t) = { net_deep, net_logits, net_probabilities };

	for (int t = 0; t < 3; t++)
		for (int i = 0; i < 3; i++) {
			struct document *d = make[i](10);
			struct slimming s;

			nets_retype(d, types[t]);
			if (types[t] == DT_BFLOAT16 && check_or_fail(d, NULL) != TAMIS_OK)
				continue;
			slimming_open(&s, d, 300, 61);
			s.o.keep = 0.6;
			s.o.tolerance = 1;
			s.o.storage = TAMIS_STORAGE_DENSE;
			expect(&s, TAMIS_OK);
			cr_assert_eq(type_of(s.out, "w2"), (int)types[t]);
			cr_assert_lt(s.figures.gate.value, 0.2, "%s model %d: %g", dtype_name((int)types[t]), i, s.figures.gate.value);
			cr_assert_leq(s.figures.after.connections_nonzero, llround(0.6 * (double)s.figures.before.connections));
			slimming_close(&s);
		}
}

Test(document, two_outputs)
{
	struct slimming s;

	slimming_open(&s, net_general(11), 600, 62);
	s.o.keep = 0.8;
	s.o.tolerance = 1;
	expect(&s, TAMIS_OK);
	cr_assert_str_eq(s.figures.gate.kind, "relative squared error");
	cr_assert(isnan(s.figures.gate.disagreement));
	cr_assert(s.figures.gate.value > 0 && s.figures.gate.value < 0.5, "%g", s.figures.gate.value);
	s.o.head = "logits";
	expect(&s, TAMIS_OK);
	cr_assert_str_eq(s.figures.gate.kind, "expected accuracy loss");
	slimming_close(&s);
}

Test(document, transformer_block)
{
	struct slimming s;

	slimming_open(&s, net_block(12), 400, 63);
	s.o.keep = 0.8;
	s.o.tolerance = 1;
	expect(&s, TAMIS_OK);
	cr_assert_eq(s.figures.n_layers, 6);
	for (size_t i = 0; i < 6; i++)
		cr_assert_null(s.figures.layers[i].note, "%s", s.figures.layers[i].note);
	cr_assert_lt(s.figures.gate.value, 0.3, "%g", s.figures.gate.value);
	slimming_close(&s);
}

Test(document, labels_and_another_set)
{
	struct slimming s, other;
	int64_t labels[300];

	slimming_open(&s, net_deep(13), 300, 64);
	slimming_open(&other, net_deep(13), 200, 65);
	for (int t = 0; t < 300; t++)
		labels[t] = t % 4;
	s.in.labels = labels;
	s.in.n_labels = 300;
	s.o.keep = 0.9;
	s.o.tolerance = 0.9;
	expect(&s, TAMIS_OK);
	cr_assert_str_eq(s.figures.gate.kind, "accuracy loss (labels)");
	cr_assert(s.figures.gate.accuracy_before >= 0 && s.figures.gate.label_p >= 0);
	s.in.holdout = &other.reader;
	s.in.n_labels = 200;
	expect(&s, TAMIS_OK);
	cr_assert_eq(s.figures.gate.held_out_items, 200);
	cr_assert_eq(s.figures.gate.fit_items, 300);
	slimming_close(&other);
	slimming_close(&s);
}

Test(document, every_criterion)
{
	size_t n;
	const struct criterion *list = criterion_list(&n);
	struct slimming s;

	slimming_open(&s, net_logits(14), 300, 66);
	s.o.keep = 0.7;
	s.o.tolerance = 1;
	for (size_t i = 0; i < n; i++) {
		s.o.criterion = list[i].name;
		expect(&s, TAMIS_OK);
		cr_assert_str_eq(s.figures.criterion, list[i].name);
	}
	slimming_close(&s);
}

/* The shape that a Reshape is given holds one item, so items cannot be stacked. */
Test(document, items_one_by_one)
{
	struct document *d = net_deep(21);
	struct slimming s, stacked;
	Onnx__GraphProto *g = d->model->graph;

	build_ints(d, "shape", 2, DIMS(1, 24));
	build_node(d, "Reshape", "a1 shape", "r1");
	cr_assert_eq(edit_string(d, &g->node[2]->input[0], "r1", NULL), TAMIS_OK);
	cr_assert_eq(edit_insert(d, &g->n_node, &g->node, 2, edit_take(&g->n_node, &g->node, 5), NULL), TAMIS_OK);
	slimming_open(&s, d, 300, 74);
	s.o.keep = 0.6;
	s.o.tolerance = 1;
	expect(&s, TAMIS_OK);
	cr_assert_lt(s.figures.gate.value, 0.2);
	slimming_open(&stacked, net_deep(21), 300, 74);
	stacked.o = s.o;
	expect(&stacked, TAMIS_OK);
	cr_assert_leq(llabs(s.figures.significant - stacked.figures.significant), 1, "%lld significant, stacked %lld",
	              (long long)s.figures.significant, (long long)stacked.figures.significant);
	cr_assert_gt(s.figures.significant, 10);
	slimming_close(&stacked);
	slimming_close(&s);
}

/* The layout of caches: the model's and its data's names are links, what they point to lies elsewhere. */
Test(document, links_to_external_data)
{
	struct slimming s;
	struct document *d = net_deep(22), *linked = NULL;
	struct doc_save_options save = { .external = DOC_EXTERNAL_ALL, .threshold = 16 };
	char dir[] = "links-XXXXXX", path[64], name[300], command[200];
	struct tamis_error err = { 0 };
	FILE *f;

	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/blobs", dir);
	cr_assert_eq(mkdir(path, 0700), 0);
	snprintf(path, sizeof path, "%s/snap", dir);
	cr_assert_eq(mkdir(path, 0700), 0);
	snprintf(path, sizeof path, "%s/blobs/m.onnx", dir);
	must(doc_save(d, path, &save, &err), &err, "save");
	doc_free(d);
	snprintf(command, sizeof command, "cd %s/snap && for f in ../blobs/*; do ln -s $f; done", dir);
	f = popen(command, "r");
	cr_assert_not_null(f);
	cr_assert_null(fgets(name, sizeof name, f));
	pclose(f);
	snprintf(path, sizeof path, "%s/snap/m.onnx", dir);
	must(doc_load(path, NULL, &linked, &err), &err, "load");
	slimming_open(&s, linked, 300, 75);
	s.o.keep = 0.5;
	s.o.tolerance = 1;
	expect(&s, TAMIS_OK);
	slimming_close(&s);
	snprintf(command, sizeof command, "rm -r %s", dir);
	pclose(popen(command, "r"));
}

/* ---- the same for any number of workers --------------------------------------------------------------------- */

Test(document, same_bytes_for_any_number_of_workers)
{
	struct document *(*const make[])(uint64_t) = { net_deep, net_logits, net_block };

	for (int i = 0; i < 3; i++) {
		uint8_t *first = NULL;
		size_t size = 0;

		for (int workers = 1; workers <= 3; workers++) {
			struct slimming s;
			uint8_t *bytes;
			size_t n;

			slimming_open(&s, make[i](15), 400, 67);
			s.o.threads = workers;
			s.o.tolerance = 0.3;
			expect(&s, TAMIS_OK);
			bytes = slimming_bytes(s.out, &n);
			if (first)
				cr_assert(n == size && !memcmp(first, bytes, n), "model %d differs with %d workers", i, workers);
			else
				first = bytes, size = n;
			if (bytes != first)
				free(bytes);
			slimming_close(&s);
		}
		free(first);
	}
}

/* Data of unknown length are split as others are. */
Test(document, items_that_nobody_counted)
{
	struct slimming s;
	uint8_t *a, *b;
	size_t n, m;

	slimming_open(&s, net_deep(16), 400, 68);
	s.o.keep = 0.5;
	s.o.tolerance = 1;
	expect(&s, TAMIS_OK);
	a = slimming_bytes(s.out, &n);
	s.shelf.uncounted = true;
	expect(&s, TAMIS_OK);
	b = slimming_bytes(s.out, &m);
	cr_assert(n == m && !memcmp(a, b, n));
	free(a);
	free(b);
	slimming_close(&s);
}

/* ---- misuse ------------------------------------------------------------------------------------------------- */

Test(document, options_out_of_range)
{
	struct slimming s;
	struct tamis_slim_options o;

	slimming_open(&s, net_deep(17), 60, 69);
	o = s.o;
	s.o.criterion = "no such";
	expect(&s, TAMIS_E_USAGE);
	for (int i = 0; i < 22; i++) {
		s.o = o;
		switch (i) {
		case 0: s.o.alpha = -0.1; break;
		case 1: s.o.alpha = NAN; break;
		case 2: s.o.tolerance = 1.1; break;
		case 3: s.o.tolerance = NAN; break;
		case 4: s.o.confidence = 1; break;
		case 5: s.o.confidence = 0; break;
		case 6: s.o.keep = 0; break;
		case 7: s.o.keep = 1.5; break;
		case 8: s.o.keep = NAN; break;
		case 9: s.o.holdout_share = 0; break;
		case 10: s.o.holdout_share = 1; break;
		case 11: s.o.dump = "no such pass"; break;
		case 12: s.o.head = "no such head"; break;
		case 13: s.o.granularity = (enum tamis_granularity)4; break;
		case 14: s.o.storage = (enum tamis_storage)7; break;
		case 15: s.o.target_size = 1.5; break;
		case 16: s.o.max_disagree = 2; break;
		case 17: s.o.distil = -1; break;
		case 18: s.o.distil_rate = 0; break;
		case 19: s.o.rounds = 0; break;
		case 20: s.o.regrow = 1; break;
		default: s.o.chunk = -3; break;
		}
		cr_assert_eq(slimming_run(&s), TAMIS_E_USAGE, "case %d", i);
	}
	slimming_close(&s);
}

Test(document, too_few_items)
{
	struct slimming s;

	slimming_open(&s, net_deep(18), 1, 70);
	expect(&s, TAMIS_E_INVALID);
	slimming_close(&s);
}

Test(document, too_little_memory)
{
	struct slimming s;

	slimming_open(&s, net_deep(18), 60, 71);
	s.o.max_memory = 64;
	expect(&s, TAMIS_E_MEMORY);
	slimming_close(&s);
}

Test(document, target_sizes)
{
	struct slimming s;
	int64_t before;

	slimming_open(&s, net_deep(19), 600, 72);
	s.o.tolerance = 1;
	s.o.target_size = 0.7;
	expect(&s, TAMIS_OK);
	before = s.figures.before.file_bytes;
	cr_assert_leq((double)s.figures.after.file_bytes, 0.7 * (double)before + 600, "%lld of %lld bytes",
	              (long long)s.figures.after.file_bytes, (long long)before);
	s.o.target_size = -1;
	s.o.target_bytes = 10;
	expect(&s, TAMIS_E_GATE);
	slimming_close(&s);
}

Test(document, states_can_be_dumped)
{
	static const char *const passes[] = { "copy", "layers", "score", "significance", "gate", "search", "cut", "channels",
		"storage", "verify", "provenance", "figures" };
	struct slimming s;

	slimming_open(&s, net_deep(20), 200, 73);
	s.o.keep = 0.3;
	s.o.tolerance = 1;
	s.o.dump_file = "dump.txt";
	for (int i = 0; i < 12; i++) {
		FILE *f;
		char line[200];

		s.o.dump = passes[i];
		expect(&s, TAMIS_OK);
		f = fopen("dump.txt", "r");
		cr_assert_not_null(f, "%s", passes[i]);
		cr_assert_not_null(fgets(line, sizeof line, f));
		cr_assert_not_null(strstr(line, passes[i]));
		fclose(f);
		remove("dump.txt");
	}
	slimming_close(&s);
}
