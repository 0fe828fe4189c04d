/* SPDX-License-Identifier: Apache-2.0 */
/* A dense tensor in memory: type, shape, row-major elements. A plain struct; who owns `data` is said where it is used. */
#ifndef BASE_TENSOR_H
#define BASE_TENSOR_H

#include <stdint.h>

#include "base/dtype.h"
#include "base/error.h"

#define TENSOR_MAX_RANK 16 /* higher ranks are refused with TAMIS_E_UNSUPPORTED, never cut */

struct tensor {
	enum dtype type;
	int rank;                      /* 0 = scalar */
	int64_t dims[TENSOR_MAX_RANK]; /* >= 0 */
	int64_t count;                 /* product of dims */
	void *data;                    /* row-major; NULL while only the shape is known */
};

/* Sets type and shape, computes count, leaves data alone. TAMIS_E_UNSUPPORTED beyond TENSOR_MAX_RANK,
 * TAMIS_E_INVALID on a negative dimension or when the size in bytes overflows. */
enum tamis_status tensor_shape(struct tensor *t, enum dtype type, int rank, const int64_t *dims, struct tamis_error *err);

/* Bytes of `count` elements (sub-byte types rounded up to a byte); strings count as struct tm_string. */
size_t tensor_bytes(const struct tensor *t);

/* Allocates data (zeroed) for the shape it has; tensor_free releases it. TAMIS_E_MEMORY when it fails. */
enum tamis_status tensor_alloc(struct tensor *t, struct tamis_error *err);
void tensor_free(struct tensor *t); /* frees data, zeroes the struct; NULL data is fine; strings' bytes are not owned */

int tensor_same_shape(const struct tensor *a, const struct tensor *b); /* rank and dims, not type */

/* Product of dims[from..to) (1 when empty). */
int64_t tensor_extent(const struct tensor *t, int from, int to);

/* "float[1,3,224,224]" into buf (always terminated); returns buf. 128 bytes hold any usual shape. */
char *tensor_describe(const struct tensor *t, char *buf, size_t size);

/* Element i as double / int64, any numeric or bool type (half types and sub-byte types included); 0 for strings. */
double tensor_get(const struct tensor *t, int64_t i);
int64_t tensor_get_int(const struct tensor *t, int64_t i);
void tensor_set(struct tensor *t, int64_t i, double value); /* rounds to nearest even for halves; saturates integers */

/* Converts all elements of src into dst, which has a type, the same count, and memory. C casts for float -> float,
 * round toward zero and saturation-free wrap as ONNX Cast defines for float -> int where defined. O(count). */
enum tamis_status tensor_convert(const struct tensor *src, struct tensor *dst, struct tamis_error *err);

#endif
