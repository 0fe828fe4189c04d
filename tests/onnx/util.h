/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the document room share: a writer of protobuf bytes, small documents, and a directory to
 * write in. */
#ifndef TESTS_ONNX_UTIL_H
#define TESTS_ONNX_UTIL_H

#include "base/tensor.h"
#include "onnx/document.h"

/* A growing byte string. Zero-initialise; bytes_free releases it. Tests abort when out of memory. */
struct bytes {
	uint8_t *data;
	size_t size, cap;
};

void bytes_add(struct bytes *b, const void *data, size_t size);
void bytes_varint(struct bytes *b, uint64_t v);
void bytes_int(struct bytes *b, unsigned field, uint64_t v);                            /* a varint field */
void bytes_field(struct bytes *b, unsigned field, const void *data, size_t size);       /* length-delimited */
void bytes_text(struct bytes *b, unsigned field, const char *text);
void bytes_message(struct bytes *b, unsigned field, struct bytes *inner);               /* takes and empties
                                                                                           inner */
void bytes_free(struct bytes *b);

/* IR 8, opset 13; input x float[2,3] -> Add with initializer w float[3] = {1, 0, -2} -> output y. 'The small
 * model.' */
struct bytes small_model(void);
struct document *small_document(void);

/* A model of the given graph (taken), IR 8, opset 13. */
struct bytes model_of(struct bytes *graph);

/* The pieces. */
struct bytes value_info(const char *name, int type, int n_dims, const int64_t *dims);
struct bytes node(const char *op_type, const char *name, const char *inputs, const char *outputs); /* names by
                                                                                                      blanks
                                                                                                      */
struct bytes graph_named(const char *name);

/* Loads bytes as a model; the status, and the error in *err. *doc NULL on failure. */
enum tamis_status load(const struct bytes *b, struct document **doc, struct tamis_error *err);

/* A fresh directory, removed with all in it by scratch_remove. */
char *scratch_make(void);
void scratch_remove(char *dir);
char *path_in(const char *dir, const char *name); /* malloc'ed "dir/name" */
void write_file(const char *path, const void *data, size_t size);
uint8_t *read_whole(const char *path, size_t *size);

/* The models of Debian's libonnx-testdata: a NULL-terminated list of paths, empty where it is not installed.
 * */
char **testdata_models(size_t *n);
void testdata_free(char **list);

/* Deterministic bits. */
uint64_t draw(uint64_t *state);

/* A tensor of `type` whose elements are drawn bits, valid for the type (bools 0 or 1, no padding bits in the
 * last octet of sub-byte types); the bytes of strings are static. Free with tensor_free. */
struct tensor drawn_tensor(enum dtype type, int rank, const int64_t *dims, uint64_t *state);
/* Same type and shape, and the same elements bit by bit? */
bool same_tensor(const struct tensor *a, const struct tensor *b);

#endif
