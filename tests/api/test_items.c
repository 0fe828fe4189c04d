/* SPDX-License-Identifier: Apache-2.0 */
/* Items from files and from callbacks, and running over them. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

#define ITEMS 37

static uint8_t *run(struct world *w, struct tamis_calibration *c, const struct tamis_run_options *o,
                    size_t *size)
{
	uint8_t *bytes;

	cr_assert_eq(tamis_run(w->model, c, world_path(w, "out.npz"), o, &w->err), TAMIS_OK, "%s",
	             w->err.message);
	bytes = world_read(world_path(w, "out.npz"), size);
	cr_assert_not_null(bytes);
	return bytes;
}

static void same_bytes(const uint8_t *a, size_t n, const uint8_t *b, size_t m, const char *what)
{
	cr_assert_eq(n, m, "%s", what);
	cr_assert_arr_eq(a, b, n, "%s", what);
}

/* Callbacks do not tell how many items will come; chunks are of one size either way, and so every bit is the same. */
Test(items, callbacks_give_what_files_give)
{
	static const int64_t each[] = { 1, 2, 5, 36, 0 };
	struct tamis_calibration *c;
	struct world w;
	uint8_t *expected;
	size_t n;

	world_open(&w, ITEMS, 1);
	c = world_items(&w);
	expected = run(&w, c, NULL, &n);
	tamis_calibration_close(c);
	for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
		struct feeder f;
		struct tamis_reader r = feeder_open(&f, &w, each[i]);
		uint8_t *bytes;
		size_t m;

		cr_assert_eq(tamis_calibration_from_reader(w.model, &r, &c, &w.err), TAMIS_OK);
		bytes = run(&w, c, NULL, &m);
		same_bytes(expected, n, bytes, m, "callbacks");
		free(bytes);
		tamis_calibration_close(c);
	}
	free(expected);
	world_close(&w);
}

Test(items, threads_do_not_matter)
{
	struct tamis_run_options o;
	struct tamis_calibration *c;
	struct world w;
	uint8_t *one, *three;
	size_t n, m;

	world_open(&w, ITEMS, 2);
	c = world_items(&w);
	tamis_run_options_default(&o);
	o.threads = 1;
	one = run(&w, c, &o, &n);
	o.threads = 3;
	three = run(&w, c, &o, &m);
	same_bytes(one, n, three, m, "threads");
	tamis_calibration_close(c);
	free(one);
	free(three);
	world_close(&w);
}

/* The first k items alone give the first k rows: the file of a data set cut short is the same file. */
Test(items, the_first_ones_only)
{
	struct tamis_run_options o;
	struct tamis_calibration *c;
	struct world w;
	const char *specs[1];
	uint8_t *some, *cut;
	size_t n, m;

	world_open(&w, ITEMS, 3);
	c = world_items(&w);
	tamis_run_options_default(&o);
	o.items = 5;
	some = run(&w, c, &o, &n);
	tamis_calibration_close(c);
	world_write_npy(world_path(&w, "five.npy"), DT_FLOAT, 2, (const int64_t[]){ 5, WIDTH }, w.items);
	specs[0] = world_path(&w, "five.npy");
	cr_assert_eq(tamis_calibration_open(w.model, specs, 1, NULL, &c, &w.err), TAMIS_OK);
	cut = run(&w, c, NULL, &m);
	same_bytes(some, n, cut, m, "five items");
	tamis_calibration_close(c);
	free(some);
	free(cut);
	world_close(&w);
}

/* ---- what is refused ----------------------------------------------------------------------------------- */

static const float numbers[4 * WIDTH];

struct odd {
	struct tamis_feed_tensor tensors[3];
	size_t n;
	bool given;
};

static int odd_next(void *ctx, const struct tamis_feed_tensor **tensors, size_t *n)
{
	struct odd *o = ctx;

	*tensors = o->tensors;
	*n = o->given ? 0 : o->n;
	o->given = true;
	return 0;
}

static int odd_rewind(void *ctx)
{
	((struct odd *)ctx)->given = false;
	return 0;
}

Test(items, feeds_that_do_not_fit_are_refused)
{
	static const int64_t good[] = { 4, WIDTH }, narrow[] = { 4, WIDTH - 1 }, cube[] = { 1, 4, WIDTH },
		none[] = { 0, WIDTH },
		negative[] = { -1, WIDTH };
	const struct { struct tamis_feed_tensor t[2]; size_t n; const char *says; } rows[] = {
		{ { { "y", DT_FLOAT, 2, good, numbers } }, 1, "names" },
		{ { { "x", DT_DOUBLE, 2, good, numbers } }, 1, "float[?,8]" },
		{ { { "x", DT_FLOAT, 2, narrow, numbers } }, 1, "float[4,7]" },
		{ { { "x", DT_FLOAT, 3, cube, numbers } }, 1, "float[1,4,8]" },
		{ { { "x", DT_FLOAT, 2, negative, numbers } }, 1, "" },
		{ { { "x", 99, 2, good, numbers } }, 1, "number type" },
		{ { { "x", DT_FLOAT, 2, good, NULL } }, 1, "lacks" },
		{ { { NULL, DT_FLOAT, 2, good, numbers } }, 1, "lacks" },
		{ { { "x", DT_FLOAT, 2, good, numbers }, { "x", DT_FLOAT, 2, good, numbers } }, 2, "two" },
		{ { { "x", DT_FLOAT, 2, none, numbers } }, 1, "" },
	};
	struct world w;

	world_open(&w, 2, 4);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct odd o = { .n = rows[i].n };
		struct tamis_reader r = { .ctx = &o, .next = odd_next, .rewind = odd_rewind };
		struct tamis_calibration *c;
		struct tamis_error err = { 0 };
		size_t size;

		memcpy(o.tensors, rows[i].t, sizeof rows[i].t);
		cr_assert_eq(tamis_calibration_from_reader(w.model, &r, &c, &err), TAMIS_OK);
		if (!*rows[i].says) {
			tamis_run(w.model, c, world_path(&w, "no.npz"), NULL, &err);
		} else {
			cr_assert_eq(tamis_run(w.model, c, world_path(&w, "no.npz"), NULL, &err), TAMIS_E_INVALID,
			             "row %zu", i);
			cr_assert_not_null(strstr(err.message, rows[i].says), "row %zu: %s", i, err.message);
			cr_assert_null(world_read(world_path(&w, "no.npz"), &size));
		}
		tamis_calibration_close(c);
	}
	world_close(&w);
}

static int stop(void *ctx, const struct tamis_progress *p)
{
	int *calls = ctx;

	cr_assert_geq(p->fraction, 0);
	cr_assert_leq(p->fraction, 1);
	++*calls;
	return 1;
}

Test(items, callbacks_can_stop)
{
	struct tamis_run_options o;
	struct tamis_calibration *c;
	struct feeder f;
	struct tamis_reader r;
	struct world w;
	int calls = 0;
	size_t size;

	world_open(&w, ITEMS, 5);
	c = world_items(&w);
	tamis_run_options_default(&o);
	o.observer = (struct tamis_observer){ .ctx = &calls, .progress = stop };
	cr_assert_eq(tamis_run(w.model, c, world_path(&w, "no.npz"), &o, &w.err), TAMIS_E_CANCELLED);
	cr_assert_eq(calls, 1);
	cr_assert_null(world_read(world_path(&w, "no.npz"), &size));
	tamis_calibration_close(c);
	r = feeder_open(&f, &w, 1);
	f.stop_at = 20;
	cr_assert_eq(tamis_calibration_from_reader(w.model, &r, &c, NULL), TAMIS_OK);
	tamis_error_clear(&w.err);
	cr_assert_eq(tamis_run(w.model, c, world_path(&w, "no.npz"), NULL, &w.err), TAMIS_E_CANCELLED);
	cr_assert_null(world_read(world_path(&w, "no.npz"), &size));
	tamis_calibration_close(c);
	world_close(&w);
}

Test(items, options_that_contradict_are_refused)
{
	struct tamis_calibration_options o;
	struct tamis_calibration *c = NULL;
	const char *specs[1];
	struct world w;

	world_open(&w, 3, 6);
	specs[0] = world_path(&w, "x.npy");
	tamis_calibration_options_default(&o);
	cr_assert_eq(tamis_calibration_open(w.model, NULL, 0, &o, &c, NULL), TAMIS_E_USAGE);
	o.random = 4;
	cr_assert_eq(tamis_calibration_open(w.model, specs, 1, &o, &c, NULL), TAMIS_E_USAGE);
	cr_assert_eq(tamis_calibration_open(w.model, NULL, 0, &o, &c, &w.err), TAMIS_OK, "%s", w.err.message);
	tamis_calibration_close(c);
	tamis_calibration_options_default(&o);
	world_write_npy(world_path(&w, "l.npy"), DT_INT64, 1, (const int64_t[]){ 2 }, (const int64_t[]){ 0, 1 });
	o.labels = world_path(&w, "l.npy");
	cr_assert_eq(tamis_calibration_open(w.model, specs, 1, &o, &c, &w.err), TAMIS_E_INVALID);
	cr_assert_not_null(strstr(w.err.message, "3 items"), "%s", w.err.message);
	cr_assert_null(c);
	cr_assert_eq(tamis_calibration_open(w.model, specs, 1, &o, &c, NULL), TAMIS_E_INVALID, "told nobody");
	tamis_calibration_close(NULL);
	world_close(&w);
}
