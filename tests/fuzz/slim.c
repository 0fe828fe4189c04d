/* SPDX-License-Identifier: Apache-2.0 */
/* A valid model, changed in its structure (mutate.c): describe it, render that, slim it on two items, judge it on two
 * others, and save what comes out. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>

const ProtobufCMessageDescriptor *const fuzz_message = &onnx__model_proto__descriptor;

static void render(struct tamis_report *report)
{
	char *text = NULL, *json = NULL;

	if (!report)
		return;
	fuzz_expect(tamis_report_text(report, &text, NULL) == TAMIS_OK, "the report as text");
	fuzz_expect(tamis_report_json(report, &json, NULL) == TAMIS_OK, "the report as JSON");
	free(text);
	free(json);
	tamis_report_free(report);
}

/* What is not under test is taken from the length of the input. */
static void vary(struct tamis_slim_options *o, size_t size)
{
	static const char *const criteria[] = { "pii", "fisher", "wanda", "magnitude", "random" };

	o->criterion = criteria[size % 5];
	o->head = size / 5 % 2 ? "auto" : "logits";
	o->storage = (enum tamis_storage)(size / 10 % 3);
	o->mutable_initializers = size / 30 % 2;
}

static void slim(struct tamis_model *model, struct tamis_calibration *items, size_t size)
{
	struct tamis_slim_options options;
	struct tamis_report *report = NULL;
	struct tamis_error err = { 0 };
	enum tamis_status status;
	char path[128];

	tamis_slim_options_default(&options);
	vary(&options, size);
	options.keep = 0.5;
	options.tolerance = 1;
	options.holdout_share = 0.5;
	options.threads = 1;
	options.max_memory = FUZZ_MEMORY;
	status = tamis_slim(model, items, &options, &report, &err);
	fuzz_expect_said(status, &err);
	fuzz_expect((status == TAMIS_OK || status == TAMIS_E_GATE) == (report != NULL), "a report of what was judged");
	render(report);
	snprintf(path, sizeof path, "%s/slim.onnx", fuzz_dir());
	if (status == TAMIS_OK)
		fuzz_expect_said(tamis_model_save(model, path, NULL, &err), &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tamis_calibration_options options;
	struct tamis_info_options described;
	struct tamis_calibration *items = NULL;
	struct tamis_report *report = NULL;
	struct tamis_model *model = fuzz_model(data, size);
	struct tamis_error err = { 0 };

	if (!model)
		return 0;
	tamis_info_options_default(&described);
	described.groups = true;
	fuzz_expect_said(tamis_info(model, &described, &report, &err), &err);
	render(report);
	tamis_calibration_options_default(&options);
	options.random = 4;
	options.max_memory = FUZZ_MEMORY;
	tamis_error_clear(&err);
	fuzz_expect_said(tamis_calibration_open(model, NULL, 0, &options, &items, &err), &err);
	if (items)
		slim(model, items, size);
	tamis_calibration_close(items);
	tamis_model_close(model);
	return 0;
}
