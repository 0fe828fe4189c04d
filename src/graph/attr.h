/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a node's attributes once, in parse functions. A missing attribute gives the default; one of the wrong type
 * or stated twice is TAMIS_E_INVALID naming the attribute; the caller of parse adds the node. Required ones: check with
 * attr_has first. */
#ifndef GRAPH_ATTR_H
#define GRAPH_ATTR_H

#include <onnx.pb-c.h>

#include "graph/op.h"

bool attr_has(const struct op_parse *p, const char *name);
enum tamis_status attr_required(const struct op_parse *p, const char *name); /* INVALID when missing */
enum tamis_status attr_int(const struct op_parse *p, const char *name, int64_t fallback, int64_t *out);
enum tamis_status attr_bool(const struct op_parse *p, const char *name, bool fallback, bool *out); /* int, non-zero */
enum tamis_status attr_float(const struct op_parse *p, const char *name, float fallback, float *out);
/* A NUL-terminated copy in the arena; fallback may be NULL. */
enum tamis_status attr_string(const struct op_parse *p, const char *name, const char *fallback, const char **out);
/* A copy in the arena; missing: *n = -1 and *out = NULL. */
enum tamis_status attr_ints(const struct op_parse *p, const char *name, const int64_t **out, int *n);
enum tamis_status attr_floats(const struct op_parse *p, const char *name, const float **out, int *n);
/* Decoded with data in the arena; missing: out->type = DT_UNDEFINED. */
enum tamis_status attr_tensor(const struct op_parse *p, const char *name, struct tensor *out);
/* Position of a string among `choices` (NULL-terminated); missing gives `fallback`; anything else INVALID, listed. */
enum tamis_status attr_choice(const struct op_parse *p, const char *name, const char *const *choices, int fallback,
                              int *out);
/* TAMIS_E_UNSUPPORTED unless `is_test` is set, which told inference from training before opset 7. */
enum tamis_status attr_inference(const struct op_parse *p);
/* The body graph; NULL when missing. Owned by the document. */
enum tamis_status attr_graph(const struct op_parse *p, const char *name, Onnx__GraphProto **out);

#endif
