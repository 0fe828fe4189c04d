/* SPDX-License-Identifier: Apache-2.0 */
/* Reading SparseTensorProto. */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "onnx/payload.h"

/* A sparse tensor, its parts decoded or pointed at. */
struct sparse {
	const Onnx__SparseTensorProto *proto;
	int64_t stored;          /* values */
	int64_t count;           /* elements of the dense form */
	size_t columns;          /* numbers of one index: 1 (linear) or the rank */
	bool linear;
	const int64_t *typed;    /* the indices, where they are a typed list ... */
	const uint8_t *raw;      /* ... or where they are raw: unaligned */
	struct tensor read;      /* ... or where they had to be read */
};

static int64_t index_at(const struct sparse *s, size_t i)
{
	int64_t v;
	if (s->typed)
		return s->typed[i];
	memcpy(&v, s->raw + i * sizeof v, sizeof v);
	return v;
}

static enum tamis_status check_parts(const struct document *doc, struct sparse *s, struct tamis_error *err)
{
	const Onnx__SparseTensorProto *p = s->proto;
	if (!p->values)
		return tm_fail(err, TAMIS_E_INVALID, "a sparse tensor has no values");
	if (p->values->n_dims != 1)
		return tm_fail(err, TAMIS_E_INVALID, "the values of a sparse tensor have rank %zu; 1 was expected",
		               p->values->n_dims);
	enum tamis_status st = payload_check(doc, p->values, err);
	if (st != TAMIS_OK)
		return st;
	s->stored = p->values->dims[0];
	if (p->n_dims > INT32_MAX || !tm_product(p->dims, (int)p->n_dims, &s->count))
		return tm_fail(err, TAMIS_E_INVALID,
		               "the shape of a sparse tensor is negative or has more elements than any memory can hold");
	if (!p->indices && s->stored != 0)
		return tm_fail(err, TAMIS_E_INVALID, "a sparse tensor has %lld values and no indices",
		               (long long)s->stored);
	return p->indices ? payload_check(doc, p->indices, err) : TAMIS_OK;
}

static enum tamis_status check_index_shape(struct sparse *s, struct tamis_error *err)
{
	const Onnx__TensorProto *t = s->proto->indices;
	if (t->data_type != DT_INT64)
		return tm_fail(err, TAMIS_E_INVALID, "the indices of a sparse tensor are %s; int64 was expected",
		               dtype_name(t->data_type));
	if (t->n_dims != 1 && t->n_dims != 2)
		return tm_fail(err, TAMIS_E_INVALID, "the indices of a sparse tensor have rank %zu; 1 or 2 was expected",
		               t->n_dims);
	if (t->dims[0] != s->stored)
		return tm_fail(err, TAMIS_E_INVALID, "a sparse tensor has %lld values and %lld indices",
		               (long long)s->stored, (long long)t->dims[0]);
	s->linear = t->n_dims == 1;
	if (!s->linear && t->dims[1] != (int64_t)s->proto->n_dims)
		return tm_fail(err, TAMIS_E_INVALID,
		               "the indices of a sparse tensor have %lld coordinates; %zu were expected",
		               (long long)t->dims[1], s->proto->n_dims);
	s->columns = s->linear ? 1 : s->proto->n_dims;
	return TAMIS_OK;
}

static enum tamis_status find_indices(const struct document *doc, struct sparse *s, struct tamis_error *err)
{
	const Onnx__TensorProto *t = s->proto->indices;
	if (t->n_int64_data) {
		s->typed = t->int64_data;
	} else if (t->has_raw_data) {
		s->raw = t->raw_data.data;
	} else if (s->stored) {
		enum tamis_status st = payload_read(doc, t, &s->read, err);
		if (st != TAMIS_OK)
			return st;
		s->typed = s->read.data;
	}
	return TAMIS_OK;
}

/* Row-major position of index i; -1 when it is outside the shape. The product of a shape without zeros fits,
 * so no step of the sum can overflow. */
static int64_t position(const struct sparse *s, int64_t i)
{
	int64_t at = 0;
	if (s->count == 0)
		return -1;
	if (s->linear) {
		at = index_at(s, (size_t)i);
		return at >= 0 && at < s->count ? at : -1;
	}
	for (size_t k = 0; k < s->columns; k++) {
		int64_t v = index_at(s, (size_t)i * s->columns + k);
		if (v < 0 || v >= s->proto->dims[k])
			return -1;
		at = at * s->proto->dims[k] + v;
	}
	return at < s->count ? at : -1;
}

/* Ascending row-major positions are ascending coordinates, and the other way round. */
static enum tamis_status check_order(const struct sparse *s, struct tamis_error *err)
{
	int64_t last = -1;
	for (int64_t i = 0; i < s->stored; i++) {
		int64_t at = position(s, i);
		if (at < 0)
			return tm_fail(err, TAMIS_E_INVALID,
			               "index %lld of a sparse tensor lies outside its shape of %lld elements",
			               (long long)i, (long long)s->count);
		if (at <= last)
			return tm_fail(err, TAMIS_E_INVALID,
			               "index %lld of a sparse tensor %s the one before; ascending order was expected",
			               (long long)i, at == last ? "repeats" : "is below");
		last = at;
	}
	return TAMIS_OK;
}

/* Checks all and leaves s ready for position(); s->read is the caller's to free, also after a failure. */
static enum tamis_status open_sparse(const struct document *doc, const Onnx__SparseTensorProto *proto,
                                     struct sparse *s, struct tamis_error *err)
{
	*s = (struct sparse){ .proto = proto };
	enum tamis_status st = check_parts(doc, s, err);
	if (st != TAMIS_OK || !proto->indices)
		return st;
	st = check_index_shape(s, err);
	if (st == TAMIS_OK)
		st = find_indices(doc, s, err);
	return st == TAMIS_OK ? check_order(s, err) : st;
}

enum tamis_status sparse_check(const struct document *doc, const Onnx__SparseTensorProto *proto,
                               struct tamis_error *err)
{
	struct sparse s;
	enum tamis_status st = open_sparse(doc, proto, &s, err);
	tensor_free(&s.read);
	if (st != TAMIS_OK && proto->values)
		tm_in_tensor(err, proto->values->name);
	return st;
}

static enum tamis_status scatter(const struct document *doc, const struct sparse *s, struct tensor *out,
                                 struct tamis_error *err)
{
	uint64_t limit = doc ? doc->max_memory : 1u << 30;
	struct tensor values;
	enum tamis_status st = tensor_shape(out, (enum dtype)s->proto->values->data_type, (int)s->proto->n_dims,
	                                    s->proto->dims, err);
	if (st != TAMIS_OK)
		return st;
	size_t size = (size_t)dtype_bits((int)out->type) / 8;
	if (out->type == DT_STRING || size == 0)
		return tm_fail(err, TAMIS_E_UNSUPPORTED, "sparse tensors of %s are not supported",
		               dtype_name((int)out->type));
	if (tensor_bytes(out) > limit)
		return tm_fail(err, TAMIS_E_MEMORY, "the sparse tensor stands for %zu bytes, over the limit of %llu",
		               tensor_bytes(out), (unsigned long long)limit);
	st = payload_read(doc, s->proto->values, &values, err);
	if (st == TAMIS_OK)
		st = tensor_alloc(out, err);
	for (int64_t i = 0; st == TAMIS_OK && i < s->stored; i++)
		memcpy((uint8_t *)out->data + (size_t)position(s, i) * size, (uint8_t *)values.data + (size_t)i * size,
		       size);
	tensor_free(&values);
	return st;
}

enum tamis_status sparse_read(const struct document *doc, const Onnx__SparseTensorProto *proto,
                              struct tensor *out, struct tamis_error *err)
{
	struct sparse s;
	*out = (struct tensor){ 0 };
	enum tamis_status st = open_sparse(doc, proto, &s, err);
	if (st == TAMIS_OK)
		st = scatter(doc, &s, out, err);
	tensor_free(&s.read);
	if (st != TAMIS_OK) {
		tensor_free(out);
		if (proto->values)
			tm_in_tensor(err, proto->values->name);
	}
	return st;
}
