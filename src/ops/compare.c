/* SPDX-License-Identifier: Apache-2.0 */
/* Comparisons and logic: BOOL results, no gradients. */
#include <string.h>

#include "ops/aligned.h"
#include "ops/map.h"
#include "ops/zip.h"

static inline bool same_text(struct tm_string x, struct tm_string y)
{
	return x.len == y.len && (x.len == 0 || memcmp(x.data, y.data, x.len) == 0);
}

#define COMPARE_ROWS(name, relation) \
	ZIP_ROW(name##_float, float, uint8_t, x relation y) \
	ZIP_ROW(name##_double, double, uint8_t, x relation y) \
	ZIP_ROW(name##_int8, int8_t, uint8_t, x relation y) \
	ZIP_ROW(name##_int16, int16_t, uint8_t, x relation y) \
	ZIP_ROW(name##_int32, int32_t, uint8_t, x relation y) \
	ZIP_ROW(name##_int64, int64_t, uint8_t, x relation y) \
	ZIP_ROW(name##_uint8, uint8_t, uint8_t, x relation y) \
	ZIP_ROW(name##_uint16, uint16_t, uint8_t, x relation y) \
	ZIP_ROW(name##_uint32, uint32_t, uint8_t, x relation y) \
	ZIP_ROW(name##_uint64, uint64_t, uint8_t, x relation y)

COMPARE_ROWS(equal, ==)
ZIP_ROW(equal_bool, uint8_t, uint8_t, !x == !y)
ZIP_ROW(equal_string, struct tm_string, uint8_t, same_text(x, y))
static const struct zip equal_zip = {
	.row = {ZIP_NUMBERS(equal), [DT_BOOL] = equal_bool, [DT_STRING] = equal_string}, .result = DT_BOOL,
};
ZIP_STEPS(equal)

COMPARE_ROWS(greater, >)
static const struct zip greater_zip = {.row = {ZIP_NUMBERS(greater)}, .result = DT_BOOL};
ZIP_STEPS(greater)

COMPARE_ROWS(greater_equal, >=)
static const struct zip greater_equal_zip = {.row = {ZIP_NUMBERS(greater_equal)}, .result = DT_BOOL};
ZIP_STEPS(greater_equal)

COMPARE_ROWS(less, <)
static const struct zip less_zip = {.row = {ZIP_NUMBERS(less)}, .result = DT_BOOL};
ZIP_STEPS(less)

COMPARE_ROWS(less_equal, <=)
static const struct zip less_equal_zip = {.row = {ZIP_NUMBERS(less_equal)}, .result = DT_BOOL};
ZIP_STEPS(less_equal)

ZIP_ROW(and_bool, uint8_t, uint8_t, (x != 0) & (y != 0))
static const struct zip and_zip = {.row = {[DT_BOOL] = and_bool}, .result = DT_BOOL};
ZIP_STEPS(and)

ZIP_ROW(or_bool, uint8_t, uint8_t, (x | y) != 0)
static const struct zip or_zip = {.row = {[DT_BOOL] = or_bool}, .result = DT_BOOL};
ZIP_STEPS(or)

ZIP_ROW(xor_bool, uint8_t, uint8_t, (x != 0) ^ (y != 0))
static const struct zip xor_zip = {.row = {[DT_BOOL] = xor_bool}, .result = DT_BOOL};
ZIP_STEPS(xor)

MAP_TEST(not_bool, uint8_t, x == 0)
static const struct map not_map = {.row = {[DT_BOOL] = not_bool}, .result = DT_BOOL};
MAP_STEPS(not)

#define COMPARISON(op_name, first, steps) \
	.name = op_name, .domain = "", .since = first, .until = OP_LATEST, .min_in = 2, .max_in = 2, \
	.min_out = 1, .max_out = 1, .channels = channels_elementwise, .shape = steps##_shape, .run = steps##_run

const struct op ops_compare[] = {
	{.name = "And", ALIGNED_ROW(1, aligned_parse)},
	{COMPARISON("And", 7, and), .flags = OP_INPLACE},
	{.name = "Equal", ALIGNED_ROW(1, aligned_parse)},
	{COMPARISON("Equal", 7, equal)},
	{.name = "Greater", ALIGNED_ROW(1, aligned_parse)},
	{COMPARISON("Greater", 7, greater)},
	{COMPARISON("GreaterOrEqual", 12, greater_equal)},
	{.name = "Less", ALIGNED_ROW(1, aligned_parse)},
	{COMPARISON("Less", 7, less)},
	{COMPARISON("LessOrEqual", 12, less_equal)},
	{.name = "Not", .domain = "", .since = 1, .until = OP_LATEST, .min_in = 1, .max_in = 1, .min_out = 1,
	 .max_out = 1, .flags = OP_INPLACE, .channels = channels_elementwise, .shape = not_shape, .run = not_run},
	{.name = "Or", ALIGNED_ROW(1, aligned_parse)},
	{COMPARISON("Or", 7, or), .flags = OP_INPLACE},
	{.name = "Xor", ALIGNED_ROW(1, aligned_parse)},
	{COMPARISON("Xor", 7, xor), .flags = OP_INPLACE},
	{0},
};
