/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx/payload.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/file.h"
#include "onnx/lists.h"

#define MAX_RANK 1000000 /* dimensions that are even looked at */

/* What a tensor needs, from its type and dims. */
struct need {
	enum dtype type;
	int64_t count;   /* elements */
	int64_t bytes;   /* of raw data; 0 for strings */
	int64_t entries; /* of the typed list */
};

static enum tamis_status need_of(const Onnx__TensorProto *t, struct need *out, struct tamis_error *err)
{
	int type = t->has_data_type ? t->data_type : 0;
	if (!dtype_known(type))
		return tm_fail(err, TAMIS_E_INVALID, "data type %d is not one that ONNX IR 13 defines", type);
	for (size_t i = 0; i < t->n_dims; i++)
		if (t->dims[i] < 0)
			return tm_fail(err, TAMIS_E_INVALID, "dimension %zu is %lld; it must not be negative", i,
			               (long long)t->dims[i]);
	int64_t bits;
	if (t->n_dims > MAX_RANK || !tm_product(t->dims, (int)t->n_dims, &out->count)
	    || !tm_mul(out->count, (int64_t)128, &bits))
		return tm_fail(err, TAMIS_E_INVALID, "the shape has more elements than any memory can hold");
	out->type = (enum dtype)type;
	out->bytes = (out->count * dtype_bits(type) + 7) / 8;
	out->entries = list_entries(out->type, out->count);
	return TAMIS_OK;
}

enum tamis_status payload_shape(const Onnx__TensorProto *t, struct tensor *out, struct tamis_error *err)
{
	struct need need;
	*out = (struct tensor){ 0 };
	enum tamis_status st = need_of(t, &need, err);
	if (st == TAMIS_OK)
		st = tensor_shape(out, need.type, (int)t->n_dims, t->dims, err);
	if (st != TAMIS_OK)
		tm_in_tensor(err, t->name);
	return st;
}

static enum tamis_status find_place(const Onnx__TensorProto *t, enum payload_place *place,
                                    struct tamis_error *err)
{
	const char *typed = NULL;
	enum list found = LIST_COUNT;
	Onnx__TensorProto copy = *t;
	for (int i = 0; i < LIST_COUNT; i++) {
		struct list_slot s = list_slot(&copy, (enum list)i);
		if (*s.n && typed)
			return tm_fail(err, TAMIS_E_INVALID, "elements stand in both %s and %s; one place was expected", typed,
			               s.name);
		if (*s.n) {
			typed = s.name;
			found = (enum list)i;
		}
	}
	bool external = t->has_data_location && t->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
	if (typed && (t->has_raw_data || external))
		return tm_fail(err, TAMIS_E_INVALID, "elements stand in both %s and %s; one place was expected", typed,
		               external ? "an external file" : "raw_data");
	if (typed && dtype_known(t->data_type) && list_of((enum dtype)t->data_type) != found)
		return tm_fail(err, TAMIS_E_INVALID, "elements of type %s stand in %s, which is not for them",
		               dtype_name(t->data_type), typed);
	if (external && t->has_raw_data && t->n_external_data)
		return tm_fail(err, TAMIS_E_INVALID, "elements stand in both raw_data and an external file; one place "
		               "was expected");
	*place = external ? PAYLOAD_EXTERNAL : typed ? PAYLOAD_TYPED : t->has_raw_data ? PAYLOAD_RAW : PAYLOAD_NONE;
	return TAMIS_OK;
}

enum tamis_status payload_place(const Onnx__TensorProto *t, enum payload_place *place,
                                struct tamis_error *err)
{
	enum tamis_status st = find_place(t, place, err);
	if (st != TAMIS_OK)
		tm_in_tensor(err, t->name);
	return st;
}

/* External, but the bytes are still in memory: only payload_write makes this. */
static bool pending(const struct document *doc, const Onnx__TensorProto *t)
{
	return doc && doc->pending_external && t->has_raw_data && t->n_external_data == 0;
}

static enum tamis_status check_ranges(const Onnx__TensorProto *t, const struct need *need,
                                      struct tamis_error *err)
{
	int32_t low, high;
	list_int32_range(need->type, &low, &high);
	for (size_t i = 0; i < t->n_int32_data; i++)
		if (t->int32_data[i] < low || t->int32_data[i] > high)
			return tm_fail(err, TAMIS_E_INVALID, "int32_data[%zu] is %d, which no %s can be", i, t->int32_data[i],
			               dtype_name((int)need->type));
	for (size_t i = 0; need->type == DT_UINT32 && i < t->n_uint64_data; i++)
		if (t->uint64_data[i] > UINT32_MAX)
			return tm_fail(err, TAMIS_E_INVALID, "uint64_data[%zu] is %llu, which no uint32 can be", i,
			               (unsigned long long)t->uint64_data[i]);
	return TAMIS_OK;
}

static enum tamis_status check_raw(const Onnx__TensorProto *t, const struct need *need,
                                   struct tamis_error *err)
{
	if (need->type == DT_STRING)
		return tm_fail(err, TAMIS_E_INVALID, "strings stand in raw_data; string_data was expected");
	if (t->raw_data.len != (uint64_t)need->bytes)
		return tm_fail(err, TAMIS_E_INVALID, "raw_data has %zu bytes, and %lld elements of %s need %lld",
		               t->raw_data.len,
		               (long long)need->count, dtype_name((int)need->type), (long long)need->bytes);
	return TAMIS_OK;
}

static enum tamis_status check_typed(const Onnx__TensorProto *t, const struct need *need,
                                     struct tamis_error *err)
{
	Onnx__TensorProto copy = *t;
	struct list_slot s = list_slot(&copy, list_of(need->type));
	if (*s.n != (uint64_t)need->entries)
		return tm_fail(err, TAMIS_E_INVALID, "%s has %zu entries, and %lld elements of %s need %lld", s.name, *s.n,
		               (long long)need->count, dtype_name((int)need->type), (long long)need->entries);
	return check_ranges(t, need, err);
}

static enum tamis_status check_external(const Onnx__TensorProto *t, const struct need *need,
                                        struct tamis_error *err)
{
	struct payload_external ext;
	uint64_t end;
	if (need->type == DT_STRING)
		return tm_fail(err, TAMIS_E_INVALID, "strings stand in an external file; string_data was expected");
	enum tamis_status st = payload_external(t, &ext, err);
	if (st != TAMIS_OK)
		return st;
	if (ext.has_length && ext.length != (uint64_t)need->bytes)
		return tm_fail(err, TAMIS_E_INVALID, "the external length is %llu bytes, and %lld elements of %s need %lld",
		               (unsigned long long)ext.length, (long long)need->count, dtype_name((int)need->type),
		               (long long)need->bytes);
	if (!tm_add(ext.offset, (uint64_t)need->bytes, &end) || end > INT64_MAX)
		return tm_fail(err, TAMIS_E_INVALID, "the external offset %llu lies beyond the end of any file",
		               (unsigned long long)ext.offset);
	return TAMIS_OK;
}

/* Place and need, checked against each other. */
static enum tamis_status examine(const struct document *doc, const Onnx__TensorProto *t,
                                 enum payload_place *place, struct need *need, struct tamis_error *err)
{
	enum tamis_status st = need_of(t, need, err);
	if (st == TAMIS_OK)
		st = find_place(t, place, err);
	if (st != TAMIS_OK)
		return st;
	if (t->segment)
		return tm_fail(err, TAMIS_E_UNSUPPORTED, "the tensor is a segment of a larger one, which is not supported");
	switch (*place) {
	case PAYLOAD_RAW:
		return check_raw(t, need, err);
	case PAYLOAD_TYPED:
		return check_typed(t, need, err);
	case PAYLOAD_EXTERNAL:
		return pending(doc, t) ? check_raw(t, need, err) : check_external(t, need, err);
	default:
		if (need->count != 0)
			return tm_fail(err, TAMIS_E_INVALID, "%lld elements of %s were expected, and there are none",
			               (long long)need->count, dtype_name((int)need->type));
		return TAMIS_OK;
	}
}

enum tamis_status payload_check(const struct document *doc, const Onnx__TensorProto *t,
                                struct tamis_error *err)
{
	enum payload_place place;
	struct need need;
	enum tamis_status st = examine(doc, t, &place, &need, err);
	if (st != TAMIS_OK)
		tm_in_tensor(err, t->name);
	return st;
}

static enum tamis_status read_external(const struct document *doc, const Onnx__TensorProto *t,
                                       struct tensor *out, struct tamis_error *err)
{
	struct payload_external ext;
	struct stat info;
	size_t bytes = tensor_bytes(out);
	int fd;
	enum tamis_status st = payload_external(t, &ext, err);
	if (st == TAMIS_OK)
		st = file_open_beneath(doc->dir, doc->real_dir, ext.location, &fd, err);
	if (st != TAMIS_OK)
		return st;
	if (fstat(fd, &info) != 0 || ext.offset + bytes > (uint64_t)info.st_size)
		st = tm_fail(err, TAMIS_E_INVALID, "%zu bytes at offset %llu were expected in %s, which has %llu", bytes,
		             (unsigned long long)ext.offset, ext.location, (unsigned long long)info.st_size);
	else
		st = tensor_alloc(out, err);
	if (st == TAMIS_OK)
		st = file_pread_exact(fd, out->data, bytes, ext.offset, err);
	close(fd);
	return st;
}

static void read_strings(const Onnx__TensorProto *t, struct tensor *out)
{
	struct tm_string *s = out->data;
	for (size_t i = 0; i < t->n_string_data; i++)
		s[i] = (struct tm_string){ (const char *)t->string_data[i].data, t->string_data[i].len };
}

static void read_typed(const Onnx__TensorProto *t, struct tensor *out)
{
	Onnx__TensorProto copy = *t;
	struct list_slot s = list_slot(&copy, list_of(out->type));
	if (out->type == DT_STRING)
		read_strings(t, out);
	else
		list_decode(out->type, *s.data, out->data, *s.n);
}

static void normalise_bools(struct tensor *t)
{
	uint8_t *b = t->data;
	for (int64_t i = 0; t->type == DT_BOOL && i < t->count; i++)
		b[i] = b[i] != 0;
}

static enum tamis_status read_checked(const struct document *doc, const Onnx__TensorProto *t,
                                      enum payload_place place, struct tensor *out, struct tamis_error *err)
{
	if (doc && tensor_bytes(out) > doc->max_memory)
		return tm_fail(err, TAMIS_E_MEMORY, "the tensor takes %zu bytes, over the limit of %llu", tensor_bytes(out),
		               (unsigned long long)doc->max_memory);
	if (place == PAYLOAD_EXTERNAL && !doc)
		return tm_fail(err, TAMIS_E_INVALID, "the tensor lies in an external file, which is not allowed here");
	enum tamis_status st = TAMIS_OK;
	if (place == PAYLOAD_EXTERNAL && !pending(doc, t)) {
		st = read_external(doc, t, out, err);
	} else {
		st = tensor_alloc(out, err);
		if (st == TAMIS_OK && place == PAYLOAD_TYPED)
			read_typed(t, out);
		else if (st == TAMIS_OK && t->raw_data.len)
			memcpy(out->data, t->raw_data.data, t->raw_data.len);
	}
	if (st == TAMIS_OK)
		normalise_bools(out);
	return st;
}

/* Bools may be anything but 0 in the file, and are 1 in memory. */
static bool usable_in_place(const Onnx__TensorProto *t, enum payload_place place, const struct tensor *shape)
{
	return place == PAYLOAD_RAW && shape->type != DT_BOOL && shape->type != DT_STRING && t->raw_data.len
		&& (uintptr_t)t->raw_data.data % 64 == 0;
}

enum tamis_status payload_view(const struct document *doc, const Onnx__TensorProto *t, struct tensor *out, bool *borrowed,
                               struct tamis_error *err)
{
	enum payload_place place;
	struct need need;
	*out = (struct tensor){ 0 };
	enum tamis_status st = examine(doc, t, &place, &need, err);
	if (st == TAMIS_OK)
		st = tensor_shape(out, need.type, (int)t->n_dims, t->dims, err);
	if (borrowed)
		*borrowed = st == TAMIS_OK && usable_in_place(t, place, out);
	if (borrowed && *borrowed)
		out->data = t->raw_data.data;
	else if (st == TAMIS_OK)
		st = read_checked(doc, t, place, out, err);
	if (st != TAMIS_OK) {
		tensor_free(out);
		tm_in_tensor(err, t->name);
	}
	return st;
}

enum tamis_status payload_read(const struct document *doc, const Onnx__TensorProto *t, struct tensor *out,
                               struct tamis_error *err)
{
	return payload_view(doc, t, out, NULL, err);
}
