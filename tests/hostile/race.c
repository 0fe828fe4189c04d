/* SPDX-License-Identifier: Apache-2.0 */
/* Slims and runs a model with four workers and with one: the same bytes. A plain main, because ThreadSanitizer cannot run
 * the test framework: tools/check --long builds it with -Db_sanitize=thread.
 *
 *     race MODEL ITEMS */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static void use(const char *path, const char *items, int threads, const char *model_out, const char *npz_out)
{
	struct tamis_run_options run;
	struct tamis_slim_options slim;
	struct tamis_calibration *c = NULL;
	struct tamis_model *m = NULL;
	struct tamis_error err = { 0 };

	must(tamis_model_open(path, NULL, &m, &err), &err);
	must(tamis_calibration_open(m, &items, 1, NULL, &c, &err), &err);
	tamis_run_options_default(&run);
	run.threads = threads;
	must(tamis_run(m, c, npz_out, &run, &err), &err);
	tamis_slim_options_default(&slim);
	slim.keep = 0.5;
	slim.tolerance = 1;
	slim.chunk = 16;
	slim.threads = threads;
	must(tamis_slim(m, c, &slim, NULL, &err), &err);
	must(tamis_model_save(m, model_out, NULL, &err), &err);
	tamis_calibration_close(c);
	tamis_model_close(m);
}

static void same(const char *a, const char *b)
{
	struct tamis_error err = { 0 };
	uint8_t *x, *y;
	size_t n, m;

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
	char dir[] = "/tmp/tamis-race-XXXXXX", *model = argc > 1 ? realpath(argv[1], NULL) : NULL,
	     *items = argc > 2 ? realpath(argv[2], NULL) : NULL;

	if (!model || !items || !mkdtemp(dir) || chdir(dir) != 0) {
		fprintf(stderr, "usage: race MODEL ITEMS\n");
		return 2;
	}
	use(model, items, 1, "1.onnx", "1.npz");
	use(model, items, 4, "4.onnx", "4.npz");
	same("1.onnx", "4.onnx");
	same("1.npz", "4.npz");
	free(model);
	free(items);
	return chdir("/") != 0 || rmdir(dir) != 0;
}
