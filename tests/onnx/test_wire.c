/* SPDX-License-Identifier: Apache-2.0 */
/* Guarantee 1 and 2: any bytes give a model or a sentence, within bounds. */
#include <criterion/criterion.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "onnx/check.h"
#include "onnx/wire.h"
#include "util.h"

/* A model with `inside` as the bytes of its graph. */
static struct bytes around(struct bytes *inside)
{
	struct bytes m = { 0 };
	bytes_message(&m, 7, inside);
	return m;
}

static void refused(struct bytes *b, enum tamis_status status, const char *words)
{
	struct tamis_error err = { 0 };
	struct document *doc;
	cr_assert_eq(load(b, &doc, &err), status, "%s: status %d, %s", words, (int)err.status, err.message);
	cr_assert_null(doc);
	cr_assert(strstr(err.message, words), "'%s' is not in: %s", words, err.message);
	bytes_free(b);
}

static void raw_refused(const char *data, size_t size, const char *words)
{
	struct bytes b = { 0 };
	bytes_add(&b, data, size);
	refused(&b, TAMIS_E_INVALID, words);
}

Test(wire, damaged_bytes_are_named)
{
	raw_refused("", 0, "empty");
	raw_refused("\x08", 1, "cut off");
	raw_refused("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12, "longer than 10 bytes");
	raw_refused("\x3a\x05\x0a", 3, "5 bytes is cut off after 1");
	raw_refused("\x3a\xff\xff\xff\xff\x07\x00", 7, "is cut off after 1");
	raw_refused("\x3a\x80\x80\x80\x80\x08", 6, "above 2147483647");
	raw_refused("\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 10, "above 2147483647");
	raw_refused("\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, "above 2147483647");
	raw_refused("\x00\x00", 2, "field number 0");
	raw_refused("\x07", 1, "field number 0");
	raw_refused("\x80\x80\x80\x80\x80\x01", 6, "wider than 29 bits");
	raw_refused("\x3b\x3c", 2, "groups");
	raw_refused("\x3c", 1, "groups");
	raw_refused("\x3e", 1, "wire type 6 or 7");
	raw_refused("\x3f", 1, "wire type 6 or 7");
	raw_refused("\x38\x01", 2, "ModelProto.graph has the wrong wire type");
	raw_refused("\x0a\x01\x01", 3, "ModelProto.ir_version has the wrong wire type");
	raw_refused("\x09\x01\x01\x01\x01\x01\x01\x01\x01", 9, "wrong wire type");
	raw_refused("\xc9\x3e\x01\x02", 4, "fixed-size number is cut off");
	raw_refused("\xcd\x3e\x01\x02", 4, "fixed-size number is cut off");
	raw_refused("\x12\x03" "a\0b", 5, "ModelProto.producer_name holds a NUL byte");
	raw_refused("\x3a\x00\x3a\x00", 4, "ModelProto.graph is given twice");
	raw_refused("\x08\x08", 2, "no graph");
}

Test(wire, offsets_are_those_of_the_damage)
{
	struct tamis_error err = { 0 };
	struct bytes g = { 0 }, n = { 0 };
	bytes_int(&n, 1, 0); /* NodeProto.input as a number */
	bytes_message(&g, 1, &n);
	struct bytes m = around(&g);
	cr_assert_eq(wire_scan(&onnx__model_proto__descriptor, m.data, m.size, NULL, NULL, &err), TAMIS_E_INVALID);
	cr_assert(strstr(err.message, "byte 4: field NodeProto.input"), "%s", err.message);
	bytes_free(&m);
}

Test(wire, packed_lists_end_at_an_element)
{
	struct bytes t = { 0 }, g = { 0 }, m;
	bytes_field(&t, 4, "12345", 5);
	bytes_message(&g, 5, &t);
	m = around(&g);
	refused(&m, TAMIS_E_INVALID, "TensorProto.float_data is a packed list that ends inside an element");
	bytes_field(&t, 7, "\x80", 1);
	bytes_message(&g, 5, &t);
	m = around(&g);
	refused(&m, TAMIS_E_INVALID, "cut off");
}

Test(wire, packed_and_unpacked_lists_are_both_read)
{
	struct bytes t = { 0 }, g = { 0 }, m;
	struct document *doc;
	bytes_field(&t, 1, "\x02\x03", 2); /* dims, packed though declared unpacked */
	bytes_int(&t, 7, 5);               /* int64_data, unpacked though declared packed */
	bytes_int(&t, 7, 6);
	bytes_message(&g, 5, &t);
	m = around(&g);
	cr_assert_eq(load(&m, &doc, NULL), TAMIS_OK);
	const Onnx__TensorProto *p = doc->model->graph->initializer[0];
	cr_assert_eq(p->n_dims, 2u);
	cr_assert_eq(p->dims[1], 3);
	cr_assert_eq(p->n_int64_data, 2u);
	cr_assert_eq(p->int64_data[1], 6);
	doc_free(doc);
	bytes_free(&m);
}

/* Wraps `levels` times: field numbers from the outside in, used cyclically. */
static struct bytes nested(int levels, const unsigned *fields, int n_fields)
{
	struct bytes b = { 0 };
	for (int i = levels - 1; i >= 0; i--) {
		struct bytes outer = { 0 };
		bytes_message(&outer, fields[i % n_fields], &b);
		b = outer;
	}
	return b;
}

Test(wire, nesting_is_bounded)
{
	static const unsigned graphs[] = { 1, 5, 6 }, types[] = { 4, 1 };
	static const int depths[] = { 33, 101, 3000 };
	for (size_t i = 0; i < sizeof depths / sizeof *depths; i++) {
		struct bytes g = nested(3 * depths[i], graphs, 3), m = around(&g);
		refused(&m, TAMIS_E_INVALID, "nested deeper than 100");
	}
	for (size_t i = 1; i < sizeof depths / sizeof *depths; i++) {
		struct bytes t = nested(2 * depths[i], types, 2), v = { 0 }, g = { 0 }, m;
		bytes_message(&v, 2, &t);
		bytes_message(&g, 11, &v);
		m = around(&g);
		refused(&m, TAMIS_E_INVALID, "nested deeper than 100");
	}
	struct bytes groups = { 0 };
	for (int i = 0; i < 3000; i++)
		bytes_varint(&groups, 99 << 3 | 3);
	refused(&groups, TAMIS_E_INVALID, "groups");
	struct bytes fits = nested(96, graphs, 3), m = around(&fits);
	struct document *doc;
	cr_assert_eq(load(&m, &doc, NULL), TAMIS_OK, "98 messages deep");
	doc_free(doc);
	bytes_free(&m);
}

Test(wire, five_million_empty_messages_are_over_the_budget)
{
	size_t n = 5000000;
	struct bytes g = { .size = 2 * n, .cap = 2 * n, .data = malloc(2 * n) };
	for (size_t i = 0; i < n; i++)
		memcpy(g.data + 2 * i, "\x2a\x00", 2);
	struct bytes m = around(&g);
	refused(&m, TAMIS_E_MEMORY, "the limit");
}

Test(wire, the_memory_estimate_bounds_what_unpacking_takes)
{
	size_t n;
	char **models = testdata_models(&n);
	for (size_t i = 0; i < n; i++) {
		size_t size;
		struct wire_stats stats;
		struct document *doc;
		uint8_t *data = read_whole(models[i], &size);
		cr_assert_eq(wire_scan(&onnx__model_proto__descriptor, data, size, NULL, &stats, NULL), TAMIS_OK);
		cr_assert_eq(doc_load_memory(data, size, NULL, NULL, &doc, NULL), TAMIS_OK);
		cr_assert_leq(doc->memory.peak, stats.memory, "%s", models[i]);
		doc_free(doc);
		free(data);
	}
	testdata_free(models);
}

Test(wire, limits_of_the_caller_hold)
{
	struct bytes m = small_model();
	struct tamis_error err = { 0 };
	struct document *doc;
	struct doc_limits few = { .max_messages = 5 }, tight = { .max_memory = 500 }, small = { .max_bytes = 20 };
	cr_assert_eq(doc_load_memory(m.data, m.size, NULL, &few, &doc, &err), TAMIS_E_MEMORY);
	tamis_error_clear(&err);
	cr_assert_eq(doc_load_memory(m.data, m.size, NULL, &tight, &doc, &err), TAMIS_E_MEMORY);
	tamis_error_clear(&err);
	cr_assert_eq(doc_load_memory(m.data, m.size, NULL, &small, &doc, &err), TAMIS_E_INVALID);
	bytes_free(&m);
}

Test(wire, unknown_fields_survive_everywhere)
{
	struct bytes m = { 0 }, g = { 0 }, n = { 0 }, t = { 0 };
	struct document *doc;
	bytes_text(&n, 4, "Relu");
	bytes_int(&n, 500, 7);
	bytes_message(&g, 1, &n);
	bytes_int(&t, 2, DT_FLOAT);
	bytes_field(&t, 77, "abc", 3);
	bytes_message(&g, 5, &t);
	bytes_add(&g, "\xcd\x3e\x01\x02\x03\x04", 6);         /* field 1001, 32 bits */
	bytes_add(&g, "\xd1\x3e\x01\x02\x03\x04\x05\x06\x07\x08", 10); /* field 1002, 64 bits */
	bytes_message(&m, 7, &g);
	bytes_field(&m, 1000, "\0\xff", 2);
	cr_assert_eq(load(&m, &doc, NULL), TAMIS_OK);
	uint8_t *data;
	size_t size;
	cr_assert_eq(doc_pack(doc, &data, &size, NULL), TAMIS_OK);
	cr_assert_eq(size, m.size);
	cr_assert_arr_eq(data, m.data, size);
	free(data);
	doc_free(doc);
	bytes_free(&m);
}

Test(wire, truncated_at_every_byte)
{
	struct bytes m = small_model();
	for (size_t n = 0; n < m.size; n++) {
		struct tamis_error err = { 0 };
		struct document *doc;
		uint8_t *exact = malloc(n ? n : 1); /* exactly n bytes, so that a sanitizer sees one read too many */
		memcpy(exact, m.data, n);
		enum tamis_status st = doc_load_memory(exact, n, NULL, NULL, &doc, &err);
		if (st == TAMIS_OK)
			st = check_or_fail(doc, &err);
		cr_assert_neq(st, TAMIS_OK, "%zu bytes of %zu pass", n, m.size);
		cr_assert_eq(err.status, st);
		cr_assert(err.message[0]);
		doc_free(doc);
		free(exact);
	}
	bytes_free(&m);
}

Test(wire, no_changed_byte_crashes)
{
	size_t n;
	uint64_t seed = 0x5eed;
	char **models = testdata_models(&n);
	cr_log_info("seed %llx", (unsigned long long)seed);
	for (size_t i = 0; i < n; i += 7) {
		size_t size;
		uint8_t *data = read_whole(models[i], &size);
		for (int k = 0; k < 60 && size; k++) {
			struct document *doc;
			struct tamis_error err = { 0 };
			size_t at = draw(&seed) % size;
			uint8_t old = data[at];
			data[at] = (uint8_t)draw(&seed);
			if (doc_load_memory(data, size, NULL, NULL, &doc, &err) == TAMIS_OK)
				check_or_fail(doc, &err);
			doc_free(doc);
			data[at] = old;
		}
		free(data);
	}
	testdata_free(models);
}

Test(wire, other_files_are_recognised)
{
	raw_refused("\x89PNG\r\n\x1a\n....", 12, "PNG image");
	raw_refused("import torch\n", 13, "looks like text");
	raw_refused("PK\x03\x04........", 12, "zip archive");
	raw_refused("version https://git-lfs.github.com/spec/v1\n", 43, "git-lfs");
	raw_refused("<!DOCTYPE html>", 15, "text");
}

Test(wire, control_bytes_and_long_names_pass_the_scan)
{
	struct bytes g = { 0 };
	size_t n = 1 << 20;
	char *name = malloc(n);
	memset(name, 'x', n);
	memcpy(name, "\x01\xff\xfe<script>", 11);
	bytes_field(&g, 2, name, n);
	struct bytes m = model_of(&g);
	struct document *doc;
	struct tamis_error err = { 0 };
	cr_assert_eq(load(&m, &doc, &err), TAMIS_OK, "%s", err.message);
	cr_assert_eq(strlen(doc->model->graph->name), n);
	cr_assert_eq(check_or_fail(doc, &err), TAMIS_OK, "%s", err.message);
	doc_free(doc);
	bytes_free(&m);
	free(name);
}
