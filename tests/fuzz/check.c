/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes: load and check, with every finding, and decode each tensor of what loads. */
#include "fuzz.h"

#include "onnx/check.h"
#include "onnx/payload.h"
#include "onnx/walk.h"

static enum tamis_status decode(void *ctx, ProtobufCMessage *message, struct tamis_error *err)
{
	struct tamis_error why = { 0 };
	struct tensor t = { 0 };

	(void)err;
	fuzz_expect_said(payload_read(ctx, (const Onnx__TensorProto *)message, &t, &why), &why);
	tensor_free(&t);
	return TAMIS_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct doc_limits limits = { .max_memory = FUZZ_MEMORY };
	struct check_report report;
	struct tamis_error err = { 0 };
	struct document *doc;

	fuzz_expect_said(doc_load_memory(data, size, fuzz_dir(), &limits, &doc, &err), &err);
	if (!doc)
		return 0;
	fuzz_taken++;
	fuzz_expect(doc->memory.peak <= FUZZ_MEMORY, "a tree within its limit");
	fuzz_expect_said(check_document(doc, NULL, &report, &err), &err);
	fuzz_expect(report.count == 0 || report.findings[0].message[0], "a sentence for a finding");
	check_free(&report);
	walk_messages(&doc->model->base, &onnx__tensor_proto__descriptor, decode, doc, NULL);
	doc_free(doc);
	return 0;
}
