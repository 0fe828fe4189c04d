/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "world.h"

#define ITEMS 40
#define FEATURES 24
#define HIDDEN 16

/* ---- what there is to read ------------------------------------------------------------------------------------ */

static char dir[64];
static char known[8][256]; /* names of the files that scenarios read */
static int n_known;

/* w1 is above the threshold for external data, the others are below. */
static struct document *classifier(void)
{
	struct document *d = build_model(13);
	struct rng r = rng_make(11, 0);

	build_input(d, "x", 2, (const int64_t[]){ -1, FEATURES });
	build_output(d, "logits", 2, (const int64_t[]){ -1, CLASSES });
	build_floats(d, "w1", 2, (const int64_t[]){ HIDDEN, FEATURES }, 0.4, &r);
	build_floats(d, "b1", 1, (const int64_t[]){ HIDDEN }, 0.2, &r);
	build_floats(d, "w2", 2, (const int64_t[]){ CLASSES, HIDDEN }, 1, &r);
	build_number(d, build_node(d, "Gemm", "x w1 b1", "h"), "transB", 1);
	build_node(d, "Relu", "h", "a");
	build_number(d, build_node(d, "Gemm", "a w2", "logits"), "transB", 1);
	return d;
}

static void write_models(void)
{
	const struct doc_save_options external = { .external = DOC_EXTERNAL_ALL };
	struct document *d = classifier();

	cr_assert_eq(doc_save(d, "outside.onnx", &external, NULL), TAMIS_OK);
	world_write_model(d, "m.onnx");
}

static void write_items(void)
{
	static float items[ITEMS * FEATURES];
	int64_t labels[ITEMS];
	struct rng r = rng_make(12, 0);

	for (int i = 0; i < ITEMS * FEATURES; i++)
		items[i] = (float)rng_normal(&r);
	for (int i = 0; i < ITEMS; i++)
		labels[i] = i % CLASSES;
	world_write_npy("x.npy", DT_FLOAT, 2, (const int64_t[]){ ITEMS, FEATURES }, items);
	world_write_npy("l.npy", DT_INT64, 1, (const int64_t[]){ ITEMS }, labels);
}

/* Calls visit for each name here. */
static int each_name(void (*visit)(const char *name))
{
	DIR *here = opendir(".");
	int n = 0;

	cr_assert_not_null(here);
	for (struct dirent *e; (e = readdir(here));) {
		bool old = !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");

		for (int i = 0; i < n_known; i++)
			old |= !strcmp(e->d_name, known[i]);
		if (old)
			continue;
		n++;
		if (visit)
			visit(e->d_name);
	}
	closedir(here);
	return n;
}

static void learn(const char *name)
{
	cr_assert_lt(n_known, 8);
	snprintf(known[n_known++], sizeof known[0], "%s", name);
}

static void discard(const char *name)
{
	cr_assert_eq(remove(name), 0, "%s", name);
}

void scenario_enter(void)
{
	snprintf(dir, sizeof dir, "%s/tamis-hostile-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	cr_assert_not_null(mkdtemp(dir));
	cr_assert_eq(chdir(dir), 0);
	n_known = 0;
	write_models();
	write_items();
	each_name(learn);
}

void scenario_leave(void)
{
	n_known = 0;
	each_name(discard);
	cr_assert_eq(chdir("/"), 0);
	cr_assert_eq(rmdir(dir), 0);
}

void scenario_reset(const char *output)
{
	each_name(discard);
	if (output)
		world_write(output, OLD, strlen(OLD));
}

int scenario_strangers(void)
{
	return each_name(NULL);
}

/* ---- what is done --------------------------------------------------------------------------------------------- */

static enum tamis_status open_items(struct tamis_model *m, struct tamis_calibration **c, struct tamis_error *err)
{
	const char *const specs[] = { "x.npy" };
	const struct tamis_calibration_options labels = { .seed = 1, .labels = "l.npy" };

	return tamis_calibration_open(m, specs, 1, &labels, c, err);
}

static enum tamis_status check(struct tamis_error *err)
{
	struct tamis_report *r = NULL;
	int64_t errors;
	char *text = NULL;
	enum tamis_status s = tamis_check("outside.onnx", NULL, &r, &errors, err);

	if (s == TAMIS_OK)
		s = tamis_report_text(r, &text, err);
	free(text);
	tamis_report_free(r);
	return s;
}

static enum tamis_status info(struct tamis_error *err)
{
	struct tamis_model *m = NULL;
	struct tamis_report *r = NULL;
	char *json = NULL;
	struct tamis_info_options o;
	enum tamis_status s = tamis_model_open("outside.onnx", NULL, &m, err);

	tamis_info_options_default(&o);
	o.groups = true;
	if (s == TAMIS_OK)
		s = tamis_info(m, &o, &r, err);
	if (s == TAMIS_OK)
		s = tamis_report_json(r, &json, err);
	if (s == TAMIS_OK)
		s = tamis_write_file("info.json", json, strlen(json), err);
	free(json);
	tamis_report_free(r);
	tamis_model_close(m);
	return s;
}

static enum tamis_status save_as(const char *from, const char *to, const struct tamis_save_options *o,
                                 struct tamis_error *err)
{
	struct tamis_model *m = NULL;
	enum tamis_status s = tamis_model_open(from, NULL, &m, err);

	if (s == TAMIS_OK)
		s = tamis_model_save(m, to, o, err);
	tamis_model_close(m);
	return s;
}

static enum tamis_status save(struct tamis_error *err)
{
	return save_as("m.onnx", "out.onnx", NULL, err);
}

static enum tamis_status save_external(struct tamis_error *err)
{
	const struct tamis_save_options external = { .external_data = true };

	return save_as("m.onnx", "out.onnx", &external, err);
}

static enum tamis_status slim(struct tamis_error *err)
{
	struct tamis_slim_options o;
	struct tamis_model *m = NULL;
	struct tamis_calibration *c = NULL;
	struct tamis_report *r = NULL;
	enum tamis_status s = tamis_model_open("outside.onnx", NULL, &m, err);

	tamis_slim_options_default(&o);
	o.keep = 0.5;
	o.tolerance = 1;
	o.threads = 1;
	o.chunk = 16;
	if (s == TAMIS_OK)
		s = open_items(m, &c, err);
	if (s == TAMIS_OK)
		s = tamis_slim(m, c, &o, &r, err);
	if (s == TAMIS_OK)
		s = tamis_model_save(m, "out.onnx", NULL, err);
	tamis_report_free(r);
	tamis_calibration_close(c);
	tamis_model_close(m);
	return s;
}

static enum tamis_status score(struct tamis_error *err)
{
	struct tamis_score_options o;
	struct tamis_model *m = NULL;
	struct tamis_calibration *c = NULL;
	struct tamis_report *r = NULL;
	enum tamis_status s = tamis_model_open("m.onnx", NULL, &m, err);

	tamis_score_options_default(&o);
	o.threads = 1;
	o.chunk = 16;
	if (s == TAMIS_OK)
		s = open_items(m, &c, err);
	if (s == TAMIS_OK)
		s = tamis_score(m, c, "out.scores", &o, NULL, err);
	if (s == TAMIS_OK)
		s = tamis_scores("out.scores", NULL, &r, err);
	tamis_report_free(r);
	tamis_calibration_close(c);
	tamis_model_close(m);
	return s;
}

static enum tamis_status run(struct tamis_error *err)
{
	const struct tamis_run_options one = { .threads = 1 };
	struct tamis_model *m = NULL;
	struct tamis_calibration *c = NULL;
	enum tamis_status s = tamis_model_open("outside.onnx", NULL, &m, err);

	if (s == TAMIS_OK)
		s = open_items(m, &c, err);
	if (s == TAMIS_OK)
		s = tamis_run(m, c, "out.npz", &one, err);
	tamis_calibration_close(c);
	tamis_model_close(m);
	return s;
}

static enum tamis_status compare(struct tamis_error *err)
{
	const struct tamis_run_options one = { .threads = 1 };
	struct tamis_model *a = NULL, *b = NULL;
	struct tamis_calibration *c = NULL;
	struct tamis_report *r = NULL;
	enum tamis_status s = tamis_model_open("m.onnx", NULL, &a, err);

	if (s == TAMIS_OK)
		s = tamis_model_open("outside.onnx", NULL, &b, err);
	if (s == TAMIS_OK)
		s = open_items(a, &c, err);
	if (s == TAMIS_OK)
		s = tamis_compare(a, b, c, &one, &r, err);
	tamis_report_free(r);
	tamis_calibration_close(c);
	tamis_model_close(b);
	tamis_model_close(a);
	return s;
}

const struct scenario scenarios[] = {
	{ "check", NULL, check },
	{ "info", "info.json", info },
	{ "save", "out.onnx", save },
	{ "save with external data", "out.onnx", save_external },
	{ "slim", "out.onnx", slim },
	{ "score", "out.scores", score },
	{ "run", "out.npz", run },
	{ "compare", NULL, compare },
};
const int n_scenarios = sizeof scenarios / sizeof *scenarios;
