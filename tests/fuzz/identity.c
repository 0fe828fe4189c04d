/* SPDX-License-Identifier: Apache-2.0 */
/* Load, slim nothing, save, compare: what is written is the canonical form of what was read, byte for byte. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

const ProtobufCMessageDescriptor *const fuzz_message = &onnx__model_proto__descriptor;

/* The canonical form packs to itself. */
static uint8_t *canonical(const uint8_t *data, size_t size, size_t *packed_size)
{
	struct document *doc = fuzz_document(data, size), *again;
	uint8_t *packed = NULL, *twice = NULL;
	size_t n = 0;

	fuzz_expect(doc && doc_pack(doc, &packed, packed_size, NULL) == TAMIS_OK, "a valid model to pack");
	doc_free(doc);
	again = fuzz_document(packed, *packed_size);
	fuzz_expect(again && doc_pack(again, &twice, &n, NULL) == TAMIS_OK, "a packed model to be valid");
	fuzz_expect(n == *packed_size && memcmp(packed, twice, n) == 0, "packing to be stable");
	doc_free(again);
	free(twice);
	return packed;
}

static enum tamis_status slim_nothing(struct tamis_model *model, struct tamis_error *err)
{
	struct tamis_calibration_options items;
	struct tamis_slim_options options;
	struct tamis_calibration *c = NULL;
	enum tamis_status status;

	tamis_calibration_options_default(&items);
	items.random = 8;
	items.max_memory = FUZZ_MEMORY;
	tamis_slim_options_default(&options);
	options.keep = 1;
	options.provenance = false;
	options.threads = 1;
	options.max_memory = FUZZ_MEMORY;
	status = tamis_calibration_open(model, NULL, 0, &items, &c, err);
	if (status == TAMIS_OK)
		status = tamis_slim(model, c, &options, NULL, err);
	tamis_calibration_close(c);
	return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tamis_model *model = fuzz_model(data, size);
	struct tamis_error err = { 0 };
	uint8_t *want, *got;
	size_t n_want, n_got;
	char path[128];

	if (!model)
		return 0;
	fuzz_expect_said(slim_nothing(model, &err), &err);
	want = canonical(data, size, &n_want);
	snprintf(path, sizeof path, "%s/out.onnx", fuzz_dir());
	tamis_error_clear(&err);
	if (tamis_model_save(model, path, NULL, &err) == TAMIS_OK) {
		fuzz_expect(file_read(path, 1 << 24, &got, &n_got, NULL) == TAMIS_OK, "the output to be read");
		fuzz_expect(n_got == n_want && memcmp(got, want, n_got) == 0, "the bytes to be what they were");
		free(got);
	}
	fuzz_expect_said(err.status, &err);
	free(want);
	tamis_model_close(model);
	return 0;
}
