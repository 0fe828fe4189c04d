/* SPDX-License-Identifier: Apache-2.0 */
/* Writes models for the reference implementation to judge, and decodes models that it wrote (see judged.py).
 *     judged-models write DIR       types.onnx, dense.onnx, sparse.onnx, external.onnx
 *     judged-models dump MODEL      one line an initializer: name, type, elements as hexadecimal octets */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "onnx/edit.h"
#include "onnx/payload.h"
#include "util.h"

static int failed(const struct tamis_error *err)
{
	fprintf(stderr, "%s: %s: %s\n", err->file, err->tensor, err->message);
	return 1;
}

static int save(struct document *doc, const char *dir, const char *name, enum doc_external external)
{
	struct tamis_error err = { 0 };
	struct doc_save_options o = { .external = external };
	char *path = path_in(dir, name);
	int bad = doc_save(doc, path, &o, &err) == TAMIS_OK ? 0 : failed(&err);
	free(path);
	doc_free(doc);
	return bad;
}

static void add(struct document *doc, const char *name, const struct tensor *t, bool typed)
{
	Onnx__TensorProto *p;
	if (payload_new(doc, name, t, &p, NULL) != TAMIS_OK)
		abort();
	if (typed && t->type != DT_STRING) {
		edit_bytes(doc, &p->has_raw_data, &p->raw_data, NULL, 0, NULL);
		edit_list(doc, &p->n_int32_data, (void **)&p->int32_data, (int32_t[]){ 1 }, 1, 4, NULL);
		if (payload_write(doc, p, t, NULL) != TAMIS_OK)
			abort();
	}
	if (edit_add_initializer(doc, doc->model->graph, p, NULL) != TAMIS_OK)
		abort();
}

/* Every type, 7 elements, raw and typed. */
static struct document *types_model(uint64_t *seed)
{
	struct document *doc = small_document();
	int64_t n = 7;
	edit_raise_ir(doc, 13);
	for (int type = 1; type < DT_COUNT; type++) {
		struct tensor t = drawn_tensor((enum dtype)type, 1, &n, seed);
		char name[64];
		snprintf(name, sizeof name, "raw_%d", type);
		add(doc, name, &t, false);
		snprintf(name, sizeof name, "typed_%d", type);
		add(doc, name, &t, true);
		tensor_free(&t);
	}
	return doc;
}

static struct tensor thinned(enum dtype type, uint64_t *seed)
{
	static const int64_t dims[] = { 20, 30 };
	struct tensor t = drawn_tensor(type, 2, dims, seed);
	size_t size = (size_t)dtype_bits((int)type) / 8;
	for (int64_t i = 0; i < t.count; i++)
		if (draw(seed) % 5)
			memset((uint8_t *)t.data + (size_t)i * size, 0, size);
	return t;
}

/* The same tensors dense and sparse; raw and typed values in turn; one without any value. */
static int write_pair(const char *dir, uint64_t *seed)
{
	static const enum dtype types[] = { DT_FLOAT, DT_DOUBLE, DT_INT64, DT_INT8, DT_UINT8, DT_FLOAT16, DT_INT32,
	                                    DT_BOOL };
	struct document *dense = small_document(), *sparse = small_document();
	for (size_t i = 0; i <= sizeof types / sizeof *types; i++) {
		struct tensor t = thinned(types[i % 8], seed);
		char name[64];
		int32_t one = 1;
		Onnx__TensorProto like = ONNX__TENSOR_PROTO__INIT;
		Onnx__SparseTensorProto *s;
		if (i == 8)
			memset(t.data, 0, tensor_bytes(&t));
		snprintf(name, sizeof name, "t%zu", i);
		add(dense, name, &t, i % 2);
		like.name = name;
		like.n_int32_data = i % 2;
		like.int32_data = &one;
		if (sparse_new(sparse, &like, &t, &s, NULL) != TAMIS_OK
		    || edit_add_sparse_initializer(sparse, sparse->model->graph, s, NULL) != TAMIS_OK)
			abort();
		tensor_free(&t);
	}
	return save(dense, dir, "dense.onnx", DOC_EXTERNAL_KEEP) | save(sparse, dir, "sparse.onnx",
	                                                                DOC_EXTERNAL_KEEP);
}

static int write_models(const char *dir)
{
	uint64_t seed = 0x1234567;
	int64_t n = 3000;
	int bad = save(types_model(&seed), dir, "types.onnx", DOC_EXTERNAL_KEEP);
	struct document *doc = small_document();
	for (int i = 0; i < 3; i++) {
		struct tensor t = drawn_tensor(i == 1 ? DT_INT64 : DT_FLOAT, 1, &n, &seed);
		char name[8];
		snprintf(name, sizeof name, "e%d", i);
		add(doc, name, &t, i == 2);
		tensor_free(&t);
	}
	return bad | save(doc, dir, "external.onnx", DOC_EXTERNAL_ALL) | write_pair(dir, &seed);
}

static void print_hex(const void *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		printf("%02x", ((const uint8_t *)data)[i]);
}

static int dump(const char *path)
{
	struct tamis_error err = { 0 };
	struct document *doc;
	if (doc_load(path, NULL, &doc, &err) != TAMIS_OK)
		return failed(&err);
	int bad = 0;
	for (size_t i = 0; !bad && i < doc->model->graph->n_initializer; i++) {
		const Onnx__TensorProto *p = doc->model->graph->initializer[i];
		struct tensor t;
		if (payload_read(doc, p, &t, &err) != TAMIS_OK) {
			bad = failed(&err);
			continue;
		}
		printf("%s %d ", p->name, (int)t.type);
		const struct tm_string *s = t.data;
		for (int64_t k = 0; t.type == DT_STRING && k < t.count; k++) {
			print_hex(s[k].data, s[k].len);
			printf(",");
		}
		if (t.type != DT_STRING)
			print_hex(t.data, tensor_bytes(&t));
		printf("\n");
		tensor_free(&t);
	}
	doc_free(doc);
	return bad;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "write") == 0)
		return write_models(argv[2]);
	if (argc == 3 && strcmp(argv[1], "dump") == 0)
		return dump(argv[2]);
	fprintf(stderr, "usage: %s write DIR | dump MODEL\n", argv[0]);
	return 2;
}
