/* SPDX-License-Identifier: Apache-2.0 */
/* Changing the tree. All memory in it comes from the document's allocator, so nodes and strings are made,
 * replaced and dropped only through these. Each call leaves the tree as it was when it fails
 * (TAMIS_E_MEMORY). Pointers to other messages stay valid; the pointer arrays that hold them may move. */
#ifndef ONNX_EDIT_H
#define ONNX_EDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "onnx/document.h"

/* --- memory --------------------------------------------------------------------------------------------- */

void *doc_alloc(struct document *doc, size_t size);    /* zeroed; NULL when over the cap; size 0 is fine */
void doc_release(struct document *doc, void *p);       /* NULL is fine */
char *doc_strdup(struct document *doc, const char *s); /* NULL when over the cap */

/* An initialised message outside the tree ("edit_new(doc, &onnx__node_proto__descriptor)"); NULL when over
 * the cap. Ownership passes to the tree when it is added; before that it is edit_free's. */
void *edit_new(struct document *doc, const ProtobufCMessageDescriptor *type);
void edit_free(struct document *doc, void *message);              /* with all below it; NULL is fine */
/* A deep copy outside the tree, unknown fields included; NULL when over the cap. O(size). */
void *edit_copy(struct document *doc, const void *message);

/* --- fields --------------------------------------------------------------------------------------------- */

/* Each replaces what `field` held. NULL text removes the field. */
enum tamis_status edit_string(struct document *doc, char **field, const char *text, struct tamis_error *err);
enum tamis_status edit_bytes(struct document *doc, protobuf_c_boolean *has, ProtobufCBinaryData *field,
                             const void *data, size_t size, struct tamis_error *err);
/* A repeated scalar field of `size` bytes an element: edit_list(doc, &t->n_dims, (void **)&t->dims, dims, n,
 * 8, err). */
enum tamis_status edit_list(struct document *doc, size_t *n, void **field, const void *values, size_t count,
                            size_t size, struct tamis_error *err);

/* Repeated strings: node->input, node->output. Insert before `at` (at == n appends); remove entry `at`. */
enum tamis_status edit_string_insert(struct document *doc, size_t *n, char ***list, size_t at,
                                     const char *text, struct tamis_error *err);
void edit_string_remove(struct document *doc, size_t *n, char ***list, size_t at);

/* Repeated messages: insert takes ownership of `message` only when it succeeds; take gives it back to the
 * caller (O(n) each). edit_filter drops and frees, in one pass, the entries i with drop[i]. */
enum tamis_status edit_insert(struct document *doc, size_t *n, void *list, size_t at, void *message,
                              struct tamis_error *err);
void *edit_take(size_t *n, void *list, size_t at);
void edit_filter(struct document *doc, size_t *n, void *list, const bool *drop);

/* --- the model's parts ---------------------------------------------------------------------------------- */

/* Appends; ownership passes on success. */
enum tamis_status edit_add_node(struct document *doc, Onnx__GraphProto *g, Onnx__NodeProto *node,
                                struct tamis_error *err);
enum tamis_status edit_add_initializer(struct document *doc, Onnx__GraphProto *g, Onnx__TensorProto *t,
                                       struct tamis_error *err);
enum tamis_status edit_add_sparse_initializer(struct document *doc, Onnx__GraphProto *g,
                                              Onnx__SparseTensorProto *s, struct tamis_error *err);

/* Remove entry i and free it. i out of range does nothing. */
void edit_remove_node(struct document *doc, Onnx__GraphProto *g, size_t i);
void edit_remove_initializer(struct document *doc, Onnx__GraphProto *g, size_t i);
void edit_remove_sparse_initializer(struct document *doc, Onnx__GraphProto *g, size_t i);
void edit_remove_value_info(struct document *doc, Onnx__GraphProto *g, size_t i);

/* A new node outside the tree: op_type, domain (NULL = default) and name (NULL = none) are copied; no inputs
 * yet. */
enum tamis_status edit_node(struct document *doc, const char *op_type, const char *domain, const char *name,
                            Onnx__NodeProto **out, struct tamis_error *err);

/* Sets an attribute, replacing one of that name. */
enum tamis_status edit_attribute_int(struct document *doc, Onnx__NodeProto *node, const char *name,
                                     int64_t value, struct tamis_error *err);
enum tamis_status edit_attribute_float(struct document *doc, Onnx__NodeProto *node, const char *name,
                                       float value, struct tamis_error *err);
enum tamis_status edit_attribute_ints(struct document *doc, Onnx__NodeProto *node, const char *name,
                                      const int64_t *values, size_t count, struct tamis_error *err);

/* metadata_props of the model: sets (replacing the first entry of that key, else appending) and removes (all
 * entries of that key). edit_get_metadata returns the value, the document's, or NULL. */
enum tamis_status edit_set_metadata(struct document *doc, const char *key, const char *value,
                                    struct tamis_error *err);
void edit_remove_metadata(struct document *doc, const char *key);
const char *edit_get_metadata(const struct document *doc, const char *key);

/* Raises ir_version to at least `version`; true when it had to. */
bool edit_raise_ir(struct document *doc, int64_t version);

#endif
