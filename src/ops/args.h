/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments of operators that are axes, lists of integers or element types: read, checked and normalised
 * in one place, so that every family refuses the same mistakes with the same words. */
#ifndef OPS_ARGS_H
#define OPS_ARGS_H

#include "graph/op.h"

/* `size` zeroed bytes for what a parse function makes; NULL when out of memory, with the message left. */
void *args_alloc(struct op_parse *p, size_t size);

/* Bytes an element of types that memory can address; 0 for sub-byte and unknown types. Strings count as
 * struct tm_string. */
size_t args_element(enum dtype type);

/* TAMIS_E_UNSUPPORTED when the elements of input i cannot be moved one by one (sub-byte types). */
enum tamis_status args_movable(const struct op_call *c, int i);

/* TAMIS_E_INVALID unless input i is int32 or int64. */
enum tamis_status args_index_type(const struct op_call *c, int i);

/* Axis of a tensor of `rank` axes, negative from the end: *out in [0, rank). TAMIS_E_INVALID outside. */
enum tamis_status args_axis(struct tamis_error *err, int64_t axis, int rank, int *out);

/* Input i, a vector of int32 or int64 (or one of them) with data, into values[0 .. *n). `what` names it in messages. More
 * than `max` elements are TAMIS_E_UNSUPPORTED. */
enum tamis_status args_ints(const struct op_call *c, int i, const char *what, int max, int64_t *values,
                            int *n);

/* Input i, one integer with data, a scalar or a vector of one element. */
enum tamis_status args_int(const struct op_call *c, int i, const char *what, int64_t *value);

/* Normalises n axes in place; each must be in [-rank, rank) and differ from the others. O(n). */
enum tamis_status args_axes(struct tamis_error *err, int64_t *axes, int n, int rank);

/* Row-major strides in elements. All zero when a dimension is zero. */
void args_strides(int rank, const int64_t *dims, int64_t *strides);

#endif
