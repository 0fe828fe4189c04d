/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors of one shape stacked along a new axis, and one of them read out again: what Loop and Scan do with values
 * that every trip makes or reads. */
#ifndef EXEC_STACK_H
#define EXEC_STACK_H

#include <stdbool.h>

#include "base/tensor.h"

struct value_type;

/* Zero-initialise; stack_free releases. */
struct stacked {
	struct tensor one;    /* type and shape of each; data NULL */
	unsigned char *data;  /* count of them, one after the other */
	size_t cap;
	int64_t count;
};

/* One more; it must be like the ones before (TAMIS_E_INVALID). More than max_bytes together is TAMIS_E_MEMORY.
 * Amortised O(bytes of t). */
enum tamis_status stack_push(struct stacked *s, const struct tensor *t, uint64_t max_bytes, struct tamis_error *err);
/* The shape of an empty stack; what is not declared is float, of rank 0, of 0 elements. */
enum tamis_status stack_declare(struct stacked *s, const struct value_type *declared, struct tamis_error *err);
/* All of them along `axis` of the result (from -(rank + 1) to rank), `back`: the last one first. *out gets memory of
 * its own. O(bytes). */
enum tamis_status stack_finish(const struct stacked *s, int64_t axis, bool back, struct tensor *out,
                               struct tamis_error *err);
void stack_free(struct stacked *s);

/* The shape that t has without `axis`, and memory for it. Types below a byte are TAMIS_E_UNSUPPORTED. */
enum tamis_status slice_shape(struct tensor *slice, const struct tensor *t, int axis, struct tamis_error *err);
/* Element `at` along the axis. O(slice). */
void slice_read(struct tensor *slice, const struct tensor *t, int axis, int64_t at);

/* The same place of t += slice; both FLOAT or both DOUBLE. */
void slice_add(struct tensor *t, int axis, int64_t at, const struct tensor *slice);

/* Only the first `length` of axis 0, or up to `length` with zeros behind; more than max_bytes is TAMIS_E_MEMORY. */
void stack_cut(struct tensor *t, int64_t length);
enum tamis_status stack_lengthen(struct tensor *t, int64_t length, uint64_t max_bytes, struct tamis_error *err);

#endif
