/* SPDX-License-Identifier: Apache-2.0 */
#include "base/dtype.h"

#include <assert.h>

/* The spelling of ONNX type strings, in the order of the numbers. */
static const char *const names[] = {
	"undefined", "float", "uint8", "int8", "uint16", "int16", "int32", "int64", "string", "bool", "float16",
	"double", "uint32", "uint64", "complex64", "complex128", "bfloat16", "float8e4m3fn", "float8e4m3fnuz",
	"float8e5m2", "float8e5m2fnuz", "uint4", "int4", "float4e2m1", "float8e8m0", "uint2", "int2",
};
static_assert(sizeof names / sizeof *names == DT_COUNT, "one name a type");

struct row {
	int bits;
	char kind;
	const char *descr;
};

static const struct row rows[DT_COUNT] = {
	[DT_UNDEFINED] = {0, 'o', ""},
#define X(name, number, bits, type, kind, descr) [number] = {bits, kind, descr},
	DTYPE_LIST(X)
#undef X
};

bool dtype_known(int number)
{
	return number > DT_UNDEFINED && number < DT_COUNT;
}

static const struct row *row(int number)
{
	return &rows[dtype_known(number) ? number : DT_UNDEFINED];
}

const char *dtype_name(int number)
{
	return dtype_known(number) ? names[number] : "unknown type";
}

int dtype_bits(int number)
{
	return row(number)->bits;
}

char dtype_kind(int number)
{
	return row(number)->kind;
}

const char *dtype_descr(int number)
{
	return row(number)->descr;
}

bool dtype_is_float(int number)
{
	return dtype_kind(number) == 'f';
}

bool dtype_is_integer(int number)
{
	return dtype_kind(number) == 'i' || dtype_kind(number) == 'u';
}
