/* SPDX-License-Identifier: Apache-2.0 */
/* Elements in memory -> the fields of a TensorProto, and what they take in the file. */
#include <string.h>

#include "onnx/edit.h"
#include "onnx/lists.h"
#include "onnx/payload.h"

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_fail(err, TAMIS_E_MEMORY, "out of memory, or over its limit, while storing a tensor");
}

/* New contents, made whole before the old ones are touched. */
struct contents {
	int64_t *dims;
	void *data;  /* raw bytes or list entries */
	size_t n;    /* of these */
	bool typed;
};

static void free_strings(struct document *doc, ProtobufCBinaryData *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		doc_release(doc, list[i].data);
	doc_release(doc, list);
}

static void *make_strings(struct document *doc, const struct tensor *src)
{
	const struct tm_string *s = src->data;
	size_t n = (size_t)src->count;
	ProtobufCBinaryData *list = doc_alloc(doc, n * sizeof *list);
	for (size_t i = 0; list && i < n; i++) {
		list[i].data = doc_alloc(doc, s[i].len);
		if (!list[i].data) {
			free_strings(doc, list, i);
			return NULL;
		}
		if (s[i].len)
			memcpy(list[i].data, s[i].data, s[i].len);
		list[i].len = s[i].len;
	}
	return list;
}

static size_t entry_size(const struct tensor *src)
{
	Onnx__TensorProto none;
	return list_slot(&none, list_of(src->type)).size;
}

static enum tamis_status make(struct document *doc, const struct tensor *src, bool typed, struct contents *c,
                              struct tamis_error *err)
{
	*c = (struct contents){ .typed = typed || src->type == DT_STRING };
	c->n = c->typed ? (size_t)list_entries(src->type, src->count) : tensor_bytes(src);
	if (src->type == DT_STRING) {
		c->data = make_strings(doc, src);
	} else {
		c->data = doc_alloc(doc, c->typed ? c->n * entry_size(src) : c->n);
		if (c->data && c->typed)
			list_encode(src->type, src->data, c->data, c->n);
		else if (c->data && c->n)
			memcpy(c->data, src->data, c->n);
	}
	c->dims = src->rank ? doc_alloc(doc, (size_t)src->rank * sizeof *c->dims) : NULL;
	if (c->data && (c->dims || src->rank == 0)) {
		if (src->rank)
			memcpy(c->dims, src->dims, (size_t)src->rank * sizeof *c->dims);
		return TAMIS_OK;
	}
	if (src->type == DT_STRING && c->data)
		free_strings(doc, c->data, c->n);
	else
		doc_release(doc, c->data);
	doc_release(doc, c->dims);
	return no_memory(err);
}

static void drop_payload(struct document *doc, Onnx__TensorProto *t)
{
	for (int i = 0; i < LIST_COUNT; i++) {
		struct list_slot s = list_slot(t, (enum list)i);
		if (i == LIST_STRING)
			free_strings(doc, t->string_data, t->n_string_data);
		else
			doc_release(doc, *s.data);
		*s.data = NULL;
		*s.n = 0;
	}
	doc_release(doc, t->raw_data.data);
	t->raw_data = (ProtobufCBinaryData){ 0 };
	t->has_raw_data = 0;
	for (size_t i = 0; i < t->n_external_data; i++)
		edit_free(doc, t->external_data[i]);
	doc_release(doc, t->external_data);
	t->external_data = NULL;
	t->n_external_data = 0;
	doc_release(doc, t->dims);
}

static void put(struct document *doc, Onnx__TensorProto *t, const struct tensor *src,
                const struct contents *c)
{
	drop_payload(doc, t);
	t->dims = c->dims;
	t->n_dims = (size_t)src->rank;
	t->has_data_type = 1;
	t->data_type = (int32_t)src->type;
	if (!c->typed) {
		t->has_raw_data = 1;
		t->raw_data = (ProtobufCBinaryData){ .len = c->n, .data = c->data };
		return;
	}
	struct list_slot s = list_slot(t, list_of(src->type));
	*s.n = c->n;
	*s.data = c->data;
}

/* The place without judging it: what is replaced need not be valid. */
static enum payload_place present_place(const Onnx__TensorProto *t)
{
	if (t->has_data_location && t->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL)
		return PAYLOAD_EXTERNAL;
	for (int i = 0; i < LIST_COUNT; i++)
		if (list_length(t, (enum list)i))
			return PAYLOAD_TYPED;
	return t->has_raw_data ? PAYLOAD_RAW : PAYLOAD_NONE;
}

enum tamis_status payload_write(struct document *doc, Onnx__TensorProto *t, const struct tensor *src,
                                struct tamis_error *err)
{
	enum payload_place place = present_place(t);
	struct contents c;
	enum tamis_status st = make(doc, src, place == PAYLOAD_TYPED, &c, err);
	if (st != TAMIS_OK) {
		tm_in_tensor(err, t->name);
		return st;
	}
	put(doc, t, src, &c);
	if (place == PAYLOAD_NONE && src->count == 0) {
		t->has_raw_data = 0;
	} else if (place == PAYLOAD_EXTERNAL && c.typed) {
		t->has_data_location = 0;
		t->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__DEFAULT;
	} else if (place == PAYLOAD_EXTERNAL) {
		doc->pending_external = true;
	}
	return TAMIS_OK;
}

enum tamis_status payload_new(struct document *doc, const char *name, const struct tensor *src,
                              Onnx__TensorProto **out, struct tamis_error *err)
{
	*out = NULL;
	Onnx__TensorProto *t = edit_new(doc, &onnx__tensor_proto__descriptor);
	if (!t)
		return no_memory(err);
	t->has_raw_data = 1;
	enum tamis_status st = edit_string(doc, &t->name, name, err);
	if (st == TAMIS_OK)
		st = payload_write(doc, t, src, err);
	if (st != TAMIS_OK)
		edit_free(doc, t);
	else
		*out = t;
	return st;
}

/* A field of `len` bytes whose tag takes one byte. */
static uint64_t field_bytes(uint64_t len)
{
	return 1 + varint_bytes(len) + len;
}

/* Everything of t but its elements, with another shape and type: a shallow copy, to be measured or copied
 * only. */
static Onnx__TensorProto shell(const Onnx__TensorProto *like, const int64_t *dims, size_t rank,
                               enum dtype type)
{
	Onnx__TensorProto t = ONNX__TENSOR_PROTO__INIT;
	if (like)
		t = *like;
	for (int i = 0; i < LIST_COUNT; i++) {
		struct list_slot s = list_slot(&t, (enum list)i);
		*s.n = 0;
		*s.data = NULL;
	}
	t.has_raw_data = 0;
	t.raw_data = (ProtobufCBinaryData){ 0 };
	t.n_external_data = 0;
	t.external_data = NULL;
	t.has_data_location = t.has_data_location && t.data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__DEFAULT;
	t.data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__DEFAULT;
	t.n_dims = rank;
	t.dims = (int64_t *)dims;
	t.has_data_type = 1;
	t.data_type = (int32_t)type;
	return t;
}

static bool all_zero(const uint8_t *p, size_t size)
{
	uint8_t any = 0;
	for (size_t i = 0; i < size; i++)
		any |= p[i];
	return any == 0;
}

/* Bytes of the elements field that holds src, or, with `sparse`, its non-zero elements only; *stored = how
 * many. */
static uint64_t elements_bytes(const struct tensor *src, bool typed, bool sparse, uint64_t *stored)
{
	size_t size = tensor_bytes(src) / (size_t)(src->count ? src->count : 1);
	size_t entries = (size_t)list_entries(src->type, 1);
	uint64_t len = 0, n = 0;
	for (int64_t i = 0; i < src->count; i++) {
		if (sparse && all_zero((const uint8_t *)src->data + (size_t)i * size, size))
			continue;
		n++;
		for (size_t k = 0; typed && k < entries; k++)
			len += list_encoded_bytes(src->type, src->data, (size_t)i * entries + k);
	}
	if (stored)
		*stored = n;
	if (typed)
		return n ? field_bytes(len) : 0;
	return field_bytes(n * size);
}

static uint64_t string_bytes(const struct tensor *src)
{
	const struct tm_string *s = src->data;
	uint64_t sum = 0;
	for (int64_t i = 0; i < src->count; i++)
		sum += field_bytes(s[i].len);
	return sum;
}

static uint64_t packed_octets_bytes(const struct tensor *src)
{
	uint64_t len = 0;
	for (size_t i = 0; i < tensor_bytes(src); i++)
		len += list_encoded_bytes(src->type, src->data, i);
	return len ? field_bytes(len) : 0;
}

uint64_t payload_dense_bytes(const Onnx__TensorProto *like, const struct tensor *src)
{
	Onnx__TensorProto t = shell(like, src->dims, (size_t)src->rank, src->type);
	enum payload_place place = like ? present_place(like) : PAYLOAD_RAW;
	bool typed = place == PAYLOAD_TYPED;
	uint64_t bytes = protobuf_c_message_get_packed_size(&t.base);
	int bits = dtype_bits((int)src->type);
	if (src->type == DT_STRING)
		bytes += string_bytes(src);
	else if (typed && bits < 8)
		bytes += packed_octets_bytes(src);
	else if (typed)
		bytes += elements_bytes(src, true, false, NULL);
	else if (place != PAYLOAD_NONE || src->count)
		bytes += field_bytes(tensor_bytes(src));
	return field_bytes(bytes);
}

static bool can_be_sparse(const struct tensor *src)
{
	return src->type != DT_STRING && dtype_bits((int)src->type) >= 8;
}

/* Bytes of the list of linear positions of non-zero elements. */
static uint64_t index_bytes(const struct tensor *src)
{
	size_t size = (size_t)dtype_bits((int)src->type) / 8;
	uint64_t len = 0;
	for (int64_t i = 0; i < src->count; i++)
		if (!all_zero((const uint8_t *)src->data + (size_t)i * size, size))
			len += varint_bytes((uint64_t)i);
	return len ? field_bytes(len) : 0;
}

uint64_t payload_sparse_bytes(const Onnx__TensorProto *like, const struct tensor *src)
{
	if (!can_be_sparse(src))
		return UINT64_MAX;
	uint64_t stored;
	uint64_t elements = elements_bytes(src, like && present_place(like) == PAYLOAD_TYPED, true, &stored);
	int64_t n = (int64_t)stored;
	Onnx__TensorProto values = shell(like, &n, 1, src->type);
	Onnx__TensorProto indices = shell(NULL, &n, 1, DT_INT64);
	Onnx__SparseTensorProto s = ONNX__SPARSE_TENSOR_PROTO__INIT;
	s.n_dims = (size_t)src->rank;
	s.dims = (int64_t *)src->dims;
	uint64_t bytes = protobuf_c_message_get_packed_size(&s.base);
	bytes += field_bytes(protobuf_c_message_get_packed_size(&values.base) + elements);
	bytes += field_bytes(protobuf_c_message_get_packed_size(&indices.base) + index_bytes(src));
	return field_bytes(bytes);
}

/* Non-zero elements of src, gathered, and their positions; both arrays are the document's. */
static enum tamis_status gather(struct document *doc, const struct tensor *src, struct tensor *values,
                                int64_t **positions, struct tamis_error *err)
{
	size_t size = (size_t)dtype_bits((int)src->type) / 8, n = 0;
	const uint8_t *from = src->data;
	for (int64_t i = 0; i < src->count; i++)
		n += !all_zero(from + (size_t)i * size, size);
	*values = (struct tensor){ .type = src->type, .rank = 1, .dims = { (int64_t)n }, .count = (int64_t)n };
	values->data = doc_alloc(doc, n * size);
	*positions = doc_alloc(doc, n * sizeof **positions);
	if (!values->data || !*positions) {
		doc_release(doc, values->data);
		doc_release(doc, *positions);
		return no_memory(err);
	}
	uint8_t *to = values->data;
	int64_t *at = *positions;
	for (int64_t i = 0; i < src->count; i++) {
		if (all_zero(from + (size_t)i * size, size))
			continue;
		memcpy(to, from + (size_t)i * size, size);
		to += size;
		*at++ = i;
	}
	return TAMIS_OK;
}

/* The two tensors of a sparse tensor; on failure what was made hangs on s. */
static enum tamis_status fill_sparse(struct document *doc, Onnx__SparseTensorProto *s,
                                     const Onnx__TensorProto *like,
                                     const struct tensor *values, int64_t *positions, struct tamis_error *err)
{
	struct tensor at = { .type = DT_INT64, .rank = 1, .dims = { values->count }, .count = values->count,
	                     .data = positions };
	Onnx__TensorProto bare = shell(like, NULL, 0, values->type);
	struct contents c;
	s->values = edit_copy(doc, &bare);
	s->indices = edit_new(doc, &onnx__tensor_proto__descriptor);
	if (!s->values || !s->indices)
		return no_memory(err);
	enum tamis_status st = make(doc, values, like && present_place(like) == PAYLOAD_TYPED, &c, err);
	if (st != TAMIS_OK)
		return st;
	put(doc, s->values, values, &c);
	st = make(doc, &at, true, &c, err);
	if (st == TAMIS_OK)
		put(doc, s->indices, &at, &c);
	return st;
}

enum tamis_status sparse_new(struct document *doc, const Onnx__TensorProto *like, const struct tensor *src,
                             Onnx__SparseTensorProto **out, struct tamis_error *err)
{
	struct tensor values;
	int64_t *positions;
	*out = NULL;
	if (!can_be_sparse(src))
		return tm_fail(err, TAMIS_E_UNSUPPORTED, "a tensor of %s cannot be stored sparse",
		               dtype_name((int)src->type));
	Onnx__SparseTensorProto *s = edit_new(doc, &onnx__sparse_tensor_proto__descriptor);
	if (!s)
		return no_memory(err);
	enum tamis_status st = gather(doc, src, &values, &positions, err);
	if (st == TAMIS_OK) {
		st = fill_sparse(doc, s, like, &values, positions, err);
		doc_release(doc, values.data);
		doc_release(doc, positions);
	}
	if (st == TAMIS_OK)
		st = edit_list(doc, &s->n_dims, (void **)&s->dims, src->dims, (size_t)src->rank, sizeof *src->dims, err);
	if (st != TAMIS_OK)
		edit_free(doc, s);
	else
		*out = s;
	return st;
}

enum tamis_status sparse_write(struct document *doc, Onnx__SparseTensorProto *s, const struct tensor *src,
                               struct tamis_error *err)
{
	Onnx__SparseTensorProto *made;
	enum tamis_status st = sparse_new(doc, s->values, src, &made, err);
	if (st != TAMIS_OK)
		return st;
	Onnx__SparseTensorProto old = *s;
	s->values = made->values;
	s->indices = made->indices;
	s->dims = made->dims;
	s->n_dims = made->n_dims;
	made->values = old.values;
	made->indices = old.indices;
	made->dims = old.dims;
	made->n_dims = old.n_dims;
	edit_free(doc, made);
	return TAMIS_OK;
}
