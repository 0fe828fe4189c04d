/* SPDX-License-Identifier: Apache-2.0 */
/* Runs, scores, slims, trains and compares a model with four workers and with one: the same bytes. A plain main, because
 * ThreadSanitizer cannot run the test framework: tools/check --tsan builds it with -Db_sanitize=thread.
 *
 *     race MODEL ITEMS
 *
 * ITEMS: a file, or a number of random ones. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "tamis/tamis.h"

static void must(enum tamis_status status, const struct tamis_error *err)
{
	if (status == TAMIS_OK)
		return;
	fprintf(stderr, "status %d: %s\n", (int)status, err->message);
	exit(1);
}

struct use { const char *model, *items; int threads; };

static void open_both(const struct use *u, struct tamis_model **m, struct tamis_calibration **c)
{
	struct tamis_calibration_options options;
	struct tamis_error err = { 0 };

	tamis_calibration_options_default(&options);
	options.random = atoi(u->items);
	must(tamis_model_open(u->model, NULL, m, &err), &err);
	must(tamis_calibration_open(*m, &u->items, options.random ? 0 : 1, &options, c, &err), &err);
}

static void slim(const struct use *u, const char *criterion, bool distil)
{
	struct tamis_slim_options o;
	struct tamis_calibration *c;
	struct tamis_model *m;
	struct tamis_error err = { 0 };

	open_both(u, &m, &c);
	tamis_slim_options_default(&o);
	o.criterion = criterion;
	o.keep = 0.5;
	o.tolerance = 1;
	o.rounds = 2;
	o.distil = distil;
	o.regrow = distil ? 0.1 : 0;
	o.features = distil ? TAMIS_FEATURES_RICH : TAMIS_FEATURES_LINEAR;
	o.chunk = 16;
	o.threads = u->threads;
	must(tamis_slim(m, c, &o, NULL, &err), &err);
	must(tamis_model_save(m, criterion, NULL, &err), &err);
	tamis_calibration_close(c);
	tamis_model_close(m);
}

static void compare(struct tamis_model *m, struct tamis_calibration *c, const struct tamis_run_options *run)
{
	struct tamis_model *slimmer;
	struct tamis_report *r;
	struct tamis_error err = { 0 };
	char *json;

	must(tamis_model_open("pii", NULL, &slimmer, &err), &err);
	must(tamis_compare(m, slimmer, c, run, &r, &err), &err);
	must(tamis_report_json(r, &json, &err), &err);
	must(tamis_write_file("compared", json, strlen(json), &err), &err);
	free(json);
	tamis_report_free(r);
	tamis_model_close(slimmer);
}

/* In a folder of its own, since reports name files. */
static void use_all(const struct use *u)
{
	struct tamis_run_options run;
	struct tamis_score_options score;
	char folder[16];
	struct tamis_calibration *c;
	struct tamis_model *m;
	struct tamis_error err = { 0 };

	snprintf(folder, sizeof folder, "%d", u->threads);
	if (mkdir(folder, 0700) != 0 || chdir(folder) != 0)
		exit(2);
	slim(u, "pii", true);
	slim(u, "obs", false);
	open_both(u, &m, &c);
	tamis_run_options_default(&run);
	run.threads = u->threads;
	must(tamis_run(m, c, "run", &run, &err), &err);
	compare(m, c, &run);
	tamis_score_options_default(&score);
	score.criterion = "taylor";
	score.chunk = 16;
	score.threads = u->threads;
	must(tamis_score(m, c, "scores", &score, NULL, &err), &err);
	tamis_calibration_close(c);
	tamis_model_close(m);
	if (chdir("..") != 0)
		exit(2);
}

static void same(const char *name)
{
	struct tamis_error err = { 0 };
	uint8_t *x, *y;
	size_t n, m;
	char a[64], b[64];

	snprintf(a, sizeof a, "1/%s", name);
	snprintf(b, sizeof b, "4/%s", name);
	must(file_read(a, 1 << 28, &x, &n, &err), &err);
	must(file_read(b, 1 << 28, &y, &m, &err), &err);
	if (n != m || memcmp(x, y, n)) {
		fprintf(stderr, "%s and %s differ\n", a, b);
		exit(1);
	}
	free(x);
	free(y);
	unlink(a);
	unlink(b);
}

int main(int argc, char **argv)
{
	static const char *const written[] = { "pii", "obs", "run", "compared", "scores" };
	char dir[] = "/tmp/tamis-race-XXXXXX", *model = argc > 1 ? realpath(argv[1], NULL) : NULL,
	     *items = argc > 2 && !atoi(argv[2]) ? realpath(argv[2], NULL) : NULL;
	struct use one = { model, items ? items : argv[2], 1 }, four = one;

	four.threads = 4;
	if (!model || !one.items || !mkdtemp(dir) || chdir(dir) != 0) {
		fprintf(stderr, "usage: race MODEL ITEMS\n");
		return 2;
	}
	use_all(&one);
	use_all(&four);
	for (size_t i = 0; i < sizeof written / sizeof *written; i++)
		same(written[i]);
	free(model);
	free(items);
	return rmdir("1") != 0 || rmdir("4") != 0 || chdir("/") != 0 || rmdir(dir) != 0;
}
