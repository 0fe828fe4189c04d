/* SPDX-License-Identifier: Apache-2.0 */
/* Guarantee 5: a document that is not edited packs to the bytes it came from. Judge: Debian's ONNX
 * conformance models. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "onnx/check.h"
#include "onnx/payload.h"
#include "onnx/walk.h"
#include "util.h"

Test(roundtrip, every_conformance_model_is_byte_exact_and_without_findings)
{
	size_t n;
	char **models = testdata_models(&n);
	if (n == 0)
		cr_skip_test("libonnx-testdata is not installed");
	cr_assert_geq(n, 1000u, "libonnx-testdata has %zu models", n);
	for (size_t i = 0; i < n; i++) {
		struct tamis_error err = { 0 };
		struct document *doc;
		struct check_report report;
		size_t size, packed;
		uint8_t *data = read_whole(models[i], &size), *again;
		cr_assert_eq(doc_load(models[i], NULL, &doc, &err), TAMIS_OK, "%s: %s", models[i], err.message);
		cr_assert_eq(doc_pack(doc, &again, &packed, &err), TAMIS_OK);
		cr_assert_eq(packed, size, "%s", models[i]);
		cr_assert_arr_eq(again, data, size);
		cr_assert_eq(check_document(doc, NULL, &report, &err), TAMIS_OK);
		cr_assert_eq(report.errors + report.warnings, 0u, "%s: %s", models[i],
		             report.count ? report.findings[0].message : "");
		check_free(&report);
		doc_free(doc);
		free(again);
		free(data);
	}
	testdata_free(models);
}

static enum tamis_status rewrite(void *ctx, ProtobufCMessage *message, struct tamis_error *err)
{
	struct document *doc = ctx;
	struct tensor value;
	Onnx__TensorProto *t = (Onnx__TensorProto *)message;
	enum tamis_status st = payload_read(doc, t, &value, err);
	if (st == TAMIS_OK)
		st = payload_write(doc, t, &value, err);
	tensor_free(&value);
	return st;
}

Test(roundtrip, reading_and_writing_every_payload_changes_no_byte)
{
	size_t n, seen = 0;
	char **models = testdata_models(&n);
	for (size_t i = 0; i < n; i++) {
		struct tamis_error err = { 0 };
		struct document *doc;
		size_t size, packed;
		uint8_t *data = read_whole(models[i], &size), *again;
		cr_assert_eq(doc_load(models[i], NULL, &doc, &err), TAMIS_OK);
		uint64_t calls = doc->memory.calls;
		cr_assert_eq(walk_messages(&doc->model->base, &onnx__tensor_proto__descriptor, rewrite, doc, &err),
		             TAMIS_OK, "%s: %s", models[i], err.message);
		seen += doc->memory.calls > calls;
		cr_assert_eq(doc_pack(doc, &again, &packed, &err), TAMIS_OK);
		cr_assert_eq(packed, size, "%s", models[i]);
		cr_assert_arr_eq(again, data, size);
		doc_free(doc);
		free(again);
		free(data);
	}
	cr_assert(n == 0 || seen > 100, "only %zu models hold tensors", seen);
	testdata_free(models);
}

Test(roundtrip, the_source_is_remembered)
{
	struct bytes m = { 0 };
	struct document *doc;
	bytes_add(&m, "\x3a\x00", 2);
	cr_assert_eq(load(&m, &doc, NULL), TAMIS_OK);
	cr_assert_eq(doc->bytes, 2u);
	cr_assert_str_eq(doc->sha256_hex, "7648eb81c4e9fef7b51879c6fcd6fb4b8863eea0cb2a978c508711dc52c80041");
	doc_free(doc);
	bytes_free(&m);
}
