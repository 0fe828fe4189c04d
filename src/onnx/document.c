/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx/document.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nettle/sha2.h>

#include "base/file.h"
#include "base/memory.h"
#include "onnx/allocator.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "raw_data is read and written as it lies in memory");

static void digest(struct document *doc, const uint8_t *data, size_t size)
{
	struct sha256_ctx ctx;
	sha256_init(&ctx);
	sha256_update(&ctx, size, data);
	sha256_digest(&ctx, sizeof doc->sha256, doc->sha256);
	for (size_t i = 0; i < sizeof doc->sha256; i++)
		snprintf(doc->sha256_hex + 2 * i, 3, "%02x", doc->sha256[i]);
}

/* Text, as most files are that are not models: no control bytes but white space in the first part. */
static bool looks_like_text(const uint8_t *data, size_t size)
{
	size_t n = size < 64 ? size : 64;
	for (size_t i = 0; i < n; i++)
		if (data[i] < 0x20 && !strchr("\t\n\r\f", data[i] ? data[i] : 1))
			return false;
	return n > 0;
}

/* What a file that is no model seems to be; NULL when nothing comes to mind. */
static const char *looks_like(const uint8_t *data, size_t size)
{
	static const struct { const char *magic; size_t size; const char *what; } known[] = {
		{ "\x89PNG", 4, "a PNG image" },
		{ "\xff\xd8\xff", 3, "a JPEG image" },
		{ "PK\x03\x04", 4, "a zip archive, such as a PyTorch checkpoint or .npz" },
		{ "\x93NUMPY", 6, "a NumPy array" },
		{ "\x1f\x8b", 2, "a gzip file" },
		{ "\x89HDF", 4, "an HDF5 file" },
		{ "\x7f""ELF", 4, "a program" },
		{ "version https://git-lfs", 23, "a git-lfs pointer: fetch the real file with git lfs pull" },
	};
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (size >= known[i].size && memcmp(data, known[i].magic, known[i].size) == 0)
			return known[i].what;
	if (size >= 8 && memcmp(data + 4, "TFL3", 4) == 0)
		return "a TensorFlow Lite model";
	return looks_like_text(data, size) ? "text" : NULL;
}

static enum tamis_status unpack_model(struct document *doc, const uint8_t *data, size_t size,
                                      const struct doc_limits *limits, struct tamis_error *err)
{
	if (size == 0)
		return tm_fail(err, TAMIS_E_INVALID, "an ONNX model was expected, and the file is empty");
	struct tamis_error why = { 0 };
	void *model;
	enum tamis_status st = unpack_message(&onnx__model_proto__descriptor, data, size, limits, &doc->allocator,
	                                      &model, &why);
	const char *like = st == TAMIS_E_INVALID ? looks_like(data, size) : NULL;
	if (like)
		return tm_fail(err, st, "an ONNX model was expected, and the file looks like %s (%s)", like, why.message);
	if (st == TAMIS_E_INVALID)
		return tm_fail(err, st, "the file is damaged or not an ONNX model: %s", why.message);
	if (st != TAMIS_OK)
		return tm_fail(err, st, "%s", why.message);
	doc->model = model;
	if (!doc->model->graph)
		return tm_fail(err, TAMIS_E_INVALID, "the file holds no graph: it is not an ONNX model");
	return TAMIS_OK;
}

/* The directory part of a path, malloc'ed; NULL when out of memory. */
static char *directory_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	if (!slash)
		return tm_strdup(".");
	size_t n = slash == path ? 1 : (size_t)(slash - path);
	char *dir = malloc(n + 1);
	if (dir) {
		memcpy(dir, path, n);
		dir[n] = '\0';
	}
	return dir;
}

/* Fills path, dir and real_dir; path "" and "-" have no place of their own and take `dir`. */
static enum tamis_status place(struct document *doc, const char *path, const char *dir,
                               struct tamis_error *err)
{
	doc->path = tm_strdup(path);
	bool named = *path && strcmp(path, "-") != 0;
	doc->dir = named ? directory_of(path) : tm_strdup(dir ? dir : ".");
	char *real = named ? realpath(path, NULL) : NULL;
	doc->real_dir = real ? directory_of(real) : doc->dir ? tm_strdup(doc->dir) : NULL;
	free(real);
	if (!doc->path || !doc->dir || !doc->real_dir)
		return tm_no_memory(err, "loading the model");
	return TAMIS_OK;
}

static enum tamis_status load_bytes(const uint8_t *data, size_t size, const char *path, const char *dir,
                                    const struct doc_limits *limits, struct document **out,
                                    struct tamis_error *err)
{
	struct document *doc = calloc(1, sizeof *doc);
	if (!doc)
		return tm_no_memory(err, "loading the model");
	allocator_init(&doc->allocator, &doc->memory, limits);
	doc->bytes = size;
	doc->max_memory = limits_memory(limits);
	enum tamis_status st = place(doc, path, dir, err);
	if (st == TAMIS_OK)
		st = unpack_model(doc, data, size, limits, err);
	if (st != TAMIS_OK) {
		doc_free(doc);
		return st;
	}
	digest(doc, data, size);
	*out = doc;
	return TAMIS_OK;
}

static size_t limits_bytes(const struct doc_limits *limits)
{
	uint64_t most = DOC_MAX_PACKED;
	if (limits && limits->max_bytes && limits->max_bytes < most)
		most = limits->max_bytes;
	return (size_t)(limits_memory(limits) < most ? limits_memory(limits) : most);
}

enum tamis_status doc_load(const char *path, const struct doc_limits *limits, struct document **out,
                           struct tamis_error *err)
{
	uint8_t *data = NULL;
	size_t size = 0;
	*out = NULL;
	enum tamis_status st = file_read(path, limits_bytes(limits), &data, &size, err);
	if (st == TAMIS_OK)
		st = load_bytes(data, size, path, NULL, limits, out, err);
	free(data);
	if (st != TAMIS_OK)
		tm_in_file(err, path);
	return st;
}

enum tamis_status doc_load_memory(const void *data, size_t size, const char *dir,
                                  const struct doc_limits *limits,
                                  struct document **out, struct tamis_error *err)
{
	*out = NULL;
	if (size > limits_bytes(limits))
		return tm_fail(err, TAMIS_E_INVALID, "the model has %zu bytes, and at most %zu are accepted", size,
		               limits_bytes(limits));
	return load_bytes(data, size, "", dir, limits, out, err);
}

void doc_free(struct document *doc)
{
	if (!doc)
		return;
	if (doc->model)
		onnx__model_proto__free_unpacked(doc->model, &doc->allocator);
	free(doc->path);
	free(doc->dir);
	free(doc->real_dir);
	free(doc);
}

uint64_t doc_packed_bytes(const struct document *doc)
{
	return onnx__model_proto__get_packed_size(doc->model);
}

enum tamis_status doc_pack(const struct document *doc, uint8_t **data, size_t *size, struct tamis_error *err)
{
	uint64_t bytes = doc_packed_bytes(doc);
	*data = NULL;
	*size = 0;
	if (bytes > DOC_MAX_PACKED)
		return tm_fail(err, TAMIS_E_OUTPUT, "the model takes %llu bytes, and one file can hold %u: keep its "
		               "weights beside it with --save-as-external-data", (unsigned long long)bytes, DOC_MAX_PACKED);
	*data = malloc(bytes ? (size_t)bytes : 1);
	if (!*data)
		return tm_no_memory(err, "packing the model");
	*size = onnx__model_proto__pack(doc->model, *data);
	return TAMIS_OK;
}

static enum tamis_status unpack_tensor(struct tensor_file *f, const uint8_t *data, size_t size,
                                       const struct doc_limits *limits, struct tamis_error *err)
{
	void *proto;
	struct tamis_error why = { 0 };
	if (size == 0)
		return tm_fail(err, TAMIS_E_INVALID, "a TensorProto was expected, and the file is empty");
	enum tamis_status st = unpack_message(&onnx__tensor_proto__descriptor, data, size, limits, &f->allocator,
	                                      &proto, &why);
	if (st == TAMIS_E_INVALID)
		return tm_fail(err, st, "the file is damaged or not a TensorProto: %s", why.message);
	if (st != TAMIS_OK)
		return tm_fail(err, st, "%s", why.message);
	f->proto = proto;
	if (!f->proto->has_data_type)
		return tm_fail(err, TAMIS_E_INVALID, "the file holds no tensor with a data type: it is not a TensorProto");
	return TAMIS_OK;
}

enum tamis_status tensor_file_load(const char *path, const struct doc_limits *limits,
                                   struct tensor_file **out, struct tamis_error *err)
{
	uint8_t *data = NULL;
	size_t size = 0;
	*out = NULL;
	struct tensor_file *f = calloc(1, sizeof *f);
	if (!f)
		return tm_no_memory(err, "loading a tensor");
	allocator_init(&f->allocator, &f->memory, limits);
	enum tamis_status st = file_read(path, limits_bytes(limits), &data, &size, err);
	if (st == TAMIS_OK)
		st = unpack_tensor(f, data, size, limits, err);
	free(data);
	if (st == TAMIS_OK) {
		*out = f;
		return TAMIS_OK;
	}
	tensor_file_free(f);
	tm_in_file(err, path);
	return st;
}

void tensor_file_free(struct tensor_file *f)
{
	if (!f)
		return;
	if (f->proto)
		onnx__tensor_proto__free_unpacked(f->proto, &f->allocator);
	free(f);
}
