/* SPDX-License-Identifier: Apache-2.0 */
/* Element types. One list; everything per type is generated from it. The numbers are those of TensorProto.DataType. */
#ifndef BASE_DTYPE_H
#define BASE_DTYPE_H

#include <stdbool.h>
#include <stddef.h>

/* X(NAME, onnx number, bits an element, C type in memory, kind, numpy descr or "").
 * Kinds: f float, i signed, u unsigned, b bool, s string, o other. Sub-byte types are packed low bits first. */
#define DTYPE_LIST(X) \
	X(FLOAT, 1, 32, float, 'f', "f4") \
	X(UINT8, 2, 8, uint8_t, 'u', "u1") \
	X(INT8, 3, 8, int8_t, 'i', "i1") \
	X(UINT16, 4, 16, uint16_t, 'u', "u2") \
	X(INT16, 5, 16, int16_t, 'i', "i2") \
	X(INT32, 6, 32, int32_t, 'i', "i4") \
	X(INT64, 7, 64, int64_t, 'i', "i8") \
	X(STRING, 8, 0, struct tm_string, 's', "") \
	X(BOOL, 9, 8, uint8_t, 'b', "b1") \
	X(FLOAT16, 10, 16, uint16_t, 'f', "f2") \
	X(DOUBLE, 11, 64, double, 'f', "f8") \
	X(UINT32, 12, 32, uint32_t, 'u', "u4") \
	X(UINT64, 13, 64, uint64_t, 'u', "u8") \
	X(COMPLEX64, 14, 64, struct tm_complex64, 'o', "c8") \
	X(COMPLEX128, 15, 128, struct tm_complex128, 'o', "c16") \
	X(BFLOAT16, 16, 16, uint16_t, 'f', "") \
	X(FLOAT8E4M3FN, 17, 8, uint8_t, 'o', "") \
	X(FLOAT8E4M3FNUZ, 18, 8, uint8_t, 'o', "") \
	X(FLOAT8E5M2, 19, 8, uint8_t, 'o', "") \
	X(FLOAT8E5M2FNUZ, 20, 8, uint8_t, 'o', "") \
	X(UINT4, 21, 4, uint8_t, 'u', "") \
	X(INT4, 22, 4, uint8_t, 'i', "") \
	X(FLOAT4E2M1, 23, 4, uint8_t, 'o', "") \
	X(FLOAT8E8M0, 24, 8, uint8_t, 'o', "") \
	X(UINT2, 25, 2, uint8_t, 'u', "") \
	X(INT2, 26, 2, uint8_t, 'i', "")

enum dtype {
	DT_UNDEFINED = 0,
#define X(name, number, bits, type, kind, descr) DT_##name = number,
	DTYPE_LIST(X)
#undef X
	DT_COUNT /* one past the largest number */
};

struct tm_string { const char *data; size_t len; };
struct tm_complex64 { float re, im; };
struct tm_complex128 { double re, im; };

bool dtype_known(int number);            /* a number of the list */
const char *dtype_name(int number);      /* "float", "int64", ... as in ONNX type strings; "?17" never: unknown is "unknown type" */
int dtype_bits(int number);              /* 0 for strings and unknown types */
char dtype_kind(int number);             /* see above; 'o' for unknown */
const char *dtype_descr(int number);     /* numpy's code without byte order; "" where numpy has none */
bool dtype_is_float(int number);         /* float, double, float16, bfloat16: what tamis scores */
bool dtype_is_integer(int number);       /* signed and unsigned, not bool */

#endif
