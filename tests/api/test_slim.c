/* SPDX-License-Identifier: Apache-2.0 */
/* Slimming through the public functions. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "report/report.h"
#include "world.h"

/* The example of the header, as it stands there but for the refit (time) and the place of the files. */
Test(slim, the_example_of_the_header)
{
	struct tamis_error err = { 0 };
	struct tamis_model *model = NULL, *before = NULL;
	struct tamis_calibration *data = NULL;
	struct tamis_report *report = NULL, *compared = NULL;
	struct tamis_slim_options options;
	struct tamis_run_options some;
	struct world w;

	world_open(&w, 2, 1);
	tamis_slim_options_default(&options);
	options.refit = false;
	const char *specs[] = { SAMPLES "/fashion-calib.npz" };
	if (tamis_model_open(SAMPLES "/fashion-mlp.onnx", NULL, &model, &err) == TAMIS_OK
	    && tamis_calibration_open(model, specs, 1, NULL, &data, &err) == TAMIS_OK
	    && tamis_slim(model, data, &options, &report, &err) == TAMIS_OK)
		tamis_model_save(model, world_path(&w, "out.onnx"), NULL, &err);
	cr_assert_eq(err.status, TAMIS_OK, "%s", err.message);
	cr_assert(report->slim.gate.passed);
	cr_assert_lt(report->slim.after.nonzeros, report->slim.before.nonzeros);
	tamis_model_close(model);
	cr_assert_eq(tamis_model_open(world_path(&w, "out.onnx"), NULL, &model, &err), TAMIS_OK, "%s",
	             err.message);
	cr_assert_eq(tamis_check_provenance(model, SAMPLES "/fashion-mlp.onnx", &err), TAMIS_OK, "%s",
	             err.message);
	cr_assert_eq(tamis_check_provenance(model, SAMPLES "/fashion-lenet5.onnx", NULL), TAMIS_E_INVALID);
	cr_assert_eq(tamis_model_open(SAMPLES "/fashion-mlp.onnx", NULL, &before, &err), TAMIS_OK);
	tamis_run_options_default(&some);
	some.items = 500;
	cr_assert_eq(tamis_compare(before, model, data, &some, &compared, &err), TAMIS_OK, "%s", err.message);
	cr_assert_eq(compared->compare.items, 500);
	cr_assert_gt(compared->compare.agree, 450);
	tamis_report_free(compared);
	tamis_report_free(report);
	tamis_calibration_close(data);
	tamis_model_close(before);
	tamis_model_close(model);
	world_close(&w);
}

static uint8_t *saved(struct world *w, const char *name, size_t *size)
{
	cr_assert_eq(tamis_model_save(w->model, world_path(w, name), NULL, &w->err), TAMIS_OK, "%s",
	             w->err.message);
	return world_read(world_path(w, name), size);
}

/* After anything but success, and after a dry run, the model saves to the bytes it came from. */
static void unchanged(struct world *w)
{
	size_t n, m;
	uint8_t *a = world_read(world_path(w, "m.onnx"), &n), *b = saved(w, "same.onnx", &m);

	cr_assert_eq(n, m);
	cr_assert_arr_eq(a, b, n);
	free(a);
	free(b);
}

Test(slim, a_gate_that_nothing_passes)
{
	struct tamis_slim_options o;
	struct tamis_calibration *c;
	struct tamis_report *r = NULL;
	struct world w;

	world_open(&w, 200, 2);
	c = world_items(&w);
	tamis_slim_options_default(&o);
	o.tolerance = 0;
	o.keep = 0.02;
	cr_assert_eq(tamis_slim(w.model, c, &o, &r, &w.err), TAMIS_E_GATE, "%s", w.err.message);
	cr_assert_not_null(r);
	cr_assert_not(r->slim.gate.passed);
	tamis_error_clear(&w.err);
	unchanged(&w);
	tamis_report_free(r);
	tamis_calibration_close(c);
	world_close(&w);
}

Test(slim, a_dry_run_changes_nothing)
{
	struct tamis_slim_options o;
	struct tamis_calibration *c;
	struct tamis_report *r = NULL;
	struct world w;

	world_open(&w, 400, 3);
	c = world_items(&w);
	tamis_slim_options_default(&o);
	o.tolerance = 1;
	o.keep = 0.5;
	o.dry_run = true;
	cr_assert_eq(tamis_slim(w.model, c, &o, &r, &w.err), TAMIS_OK, "%s", w.err.message);
	cr_assert_eq(r->kind, REPORT_PLAN);
	cr_assert_eq(r->plan.connections, WIDTH * 16 + 16 * CLASSES);
	unchanged(&w);
	tamis_report_free(r);
	tamis_calibration_close(c);
	world_close(&w);
}

static int stop(void *ctx, const struct tamis_progress *p)
{
	(void)p;
	return --*(int *)ctx <= 0;
}

Test(slim, callbacks_can_stop)
{
	struct tamis_slim_options o;
	struct tamis_calibration *c;
	struct tamis_report *r = NULL;
	struct world w;
	int left = 1;

	world_open(&w, 400, 4);
	c = world_items(&w);
	tamis_slim_options_default(&o);
	o.observer = (struct tamis_observer){ .ctx = &left, .progress = stop };
	cr_assert_eq(tamis_slim(w.model, c, &o, &r, &w.err), TAMIS_E_CANCELLED, "%s", w.err.message);
	cr_assert_null(r);
	tamis_error_clear(&w.err);
	unchanged(&w);
	tamis_calibration_close(c);
	world_close(&w);
}

Test(slim, options_out_of_range_are_usage)
{
	struct tamis_calibration *c;
	struct world w;

	world_open(&w, 50, 5);
	c = world_items(&w);
	for (int i = 0; i < 9; i++) {
		struct tamis_slim_options o;
		struct tamis_error err = { 0 };

		tamis_slim_options_default(&o);
		switch (i) {
		case 0: o.alpha = -0.1; break;
		case 1: o.tolerance = 1.5; break;
		case 2: o.confidence = 1; break;
		case 3: o.keep = 0; break;
		case 4: o.keep = 1.5; break;
		case 5: o.holdout_share = 1; break;
		case 6: o.criterion = "luck"; break;
		case 7: o.only = "("; break;
		default: o.dump = "nothing"; break;
		}
		cr_assert_eq(tamis_slim(w.model, c, &o, NULL, &err), TAMIS_E_USAGE, "case %d: %s", i, err.message);
	}
	unchanged(&w);
	tamis_calibration_close(c);
	world_close(&w);
}

/* The same inputs give the same bytes, from a file or from callbacks, with any number of workers. */
Test(slim, the_same_bytes_each_time)
{
	struct world w;
	uint8_t *first = NULL;
	size_t n = 0;

	world_open(&w, 600, 6);
	for (int i = 0; i < 3; i++) {
		struct tamis_slim_options o;
		struct tamis_calibration *c = NULL;
		struct tamis_model *fresh = NULL;
		struct feeder f;
		struct tamis_reader r = feeder_open(&f, &w, 7);
		uint8_t *bytes;
		size_t m;

		tamis_slim_options_default(&o);
		o.tolerance = 1;
		o.keep = 0.4;
		o.threads = 1 + i;
		o.provenance = false;
		if (i == 2)
			cr_assert_eq(tamis_calibration_from_reader(w.model, &r, &c, NULL), TAMIS_OK);
		else
			c = world_items(&w);
		cr_assert_eq(tamis_slim(w.model, c, &o, NULL, &w.err), TAMIS_OK, "%s", w.err.message);
		bytes = saved(&w, "slim.onnx", &m);
		if (!first) {
			first = bytes;
			n = m;
		} else {
			cr_assert_eq(n, m, "run %d", i);
			cr_assert_arr_eq(first, bytes, n, "run %d", i);
			free(bytes);
		}
		tamis_calibration_close(c);
		tamis_model_close(w.model);
		cr_assert_eq(tamis_model_open(world_path(&w, "m.onnx"), NULL, &fresh, NULL), TAMIS_OK);
		w.model = fresh;
	}
	free(first);
	world_close(&w);
}
