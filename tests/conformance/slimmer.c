/* SPDX-License-Identifier: Apache-2.0 */
/* Slims models on random items, in one process, for test_slimmed.py to judge.
 *
 *     slimmer KEEP MODEL OUT [MODEL OUT]...
 *
 * Prints the status of each (0 = OUT was written) and a sentence, a line a model. */
#include <stdio.h>
#include <stdlib.h>

#include "tamis/tamis.h"

static enum tamis_status slim(const char *in, const char *out, double keep, struct tamis_error *err)
{
	struct tamis_calibration_options items;
	struct tamis_slim_options options;
	struct tamis_calibration *c = NULL;
	struct tamis_model *model = NULL;
	enum tamis_status status = tamis_model_open(in, NULL, &model, err);

	tamis_calibration_options_default(&items);
	items.random = 40;
	tamis_slim_options_default(&options);
	options.keep = keep;
	options.tolerance = 1;
	options.provenance = false;
	options.threads = 1;
	if (status == TAMIS_OK)
		status = tamis_calibration_open(model, NULL, 0, &items, &c, err);
	if (status == TAMIS_OK)
		status = tamis_slim(model, c, &options, NULL, err);
	if (status == TAMIS_OK)
		status = tamis_model_save(model, out, NULL, err);
	tamis_calibration_close(c);
	tamis_model_close(model);
	return status;
}

int main(int argc, char **argv)
{
	for (int i = 2; i + 1 < argc; i += 2) {
		struct tamis_error err = { 0 };
		enum tamis_status status = slim(argv[i], argv[i + 1], atof(argv[1]), &err);

		printf("%d %s%s%s\n", (int)status, err.node, *err.node ? ": " : "", err.message);
		fflush(stdout);
	}
	return 0;
}
