/* SPDX-License-Identifier: Apache-2.0 */
/* A mutator that keeps models models, and score files score files: unpack, change one thing in the tree by the schema's
 * descriptors, pack. Numbers go to corners, names and operators are taken from the model and the operator table, parts are
 * dropped, doubled, swapped. */
#include "fuzz.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "onnx/allocator.h"
#include "onnx/edit.h"
#include "ops/table.h"

#define MOST 4096 /* messages and names looked at */

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

struct mutation {
	struct document *doc;
	struct rng rng;
	ProtobufCMessage *messages[MOST];
	size_t n_messages;
	const char *names[MOST];
	size_t n_names;
};

static uint64_t below(struct mutation *m, uint64_t n)
{
	return rng_below(&m->rng, n);
}

static size_t count_of(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *f)
{
	size_t n;

	memcpy(&n, (const char *)message + f->quantifier_offset, sizeof n);
	return n;
}

static void *pointer_at(const void *at)
{
	void *p;

	memcpy(&p, at, sizeof p);
	return p;
}

/* Whether a singular field of a oneof is the one that is set. */
static bool chosen(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *f)
{
	int which;

	if (!(f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
		return true;
	memcpy(&which, (const char *)message + f->quantifier_offset, sizeof which);
	return which == (int)f->id;
}

static void collect(struct mutation *m, ProtobufCMessage *message);

static void collect_field(struct mutation *m, ProtobufCMessage *message, const ProtobufCFieldDescriptor *f)
{
	const char *at = (const char *)message + f->offset;
	bool repeated = f->label == PROTOBUF_C_LABEL_REPEATED;
	size_t n = repeated ? count_of(message, f) : chosen(message, f);
	void **list = repeated ? pointer_at(at) : (void *)(uintptr_t)at;

	for (size_t i = 0; i < n; i++) {
		void *p = pointer_at(&list[i]);

		if (p && f->type == PROTOBUF_C_TYPE_MESSAGE)
			collect(m, p);
		if (p && f->type == PROTOBUF_C_TYPE_STRING && m->n_names < MOST)
			m->names[m->n_names++] = p;
	}
}

/* As deep as a loaded tree may be. */
static void collect(struct mutation *m, ProtobufCMessage *message)
{
	if (m->n_messages == MOST)
		return;
	m->messages[m->n_messages++] = message;
	for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &message->descriptor->fields[i];

		if (f->type == PROTOBUF_C_TYPE_MESSAGE || f->type == PROTOBUF_C_TYPE_STRING)
			collect_field(m, message, f);
	}
}

/* ---- numbers -------------------------------------------------------------------------------------------------- */

static int64_t corner(struct mutation *m, int64_t old)
{
	static const int64_t corners[] = { 0, 1, -1, 2, 3, 7, 16, 255, -2, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN,
		(int64_t)1 << 32, 1 << 20, 65536 };
	uint64_t k = below(m, 40);

	if (k < sizeof corners / sizeof *corners)
		return corners[k];
	if (k < 28)
		return (int64_t)((uint64_t)old + below(m, 5) - 2);
	return (int64_t)below(m, k < 36 ? 4 : 30);
}

static double real_corner(struct mutation *m)
{
	static const double corners[] = { 0, -0.0, 1, -1, 0.5, 1e-45, 1e38, -1e38, 1e-300, 1e300, (double)INFINITY,
		-(double)INFINITY, (double)NAN, 1e10, -3, 255 };

	return corners[below(m, sizeof corners / sizeof *corners)];
}

static size_t width(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	default:
		return 4;
	}
}

static void change_number(struct mutation *m, void *at, ProtobufCType type)
{
	double d = real_corner(m);
	float f = (float)d;
	int64_t i = 0;

	memcpy(&i, at, width(type));
	i = corner(m, i);
	memcpy(at, type == PROTOBUF_C_TYPE_FLOAT ? (void *)&f : type == PROTOBUF_C_TYPE_DOUBLE ? (void *)&d : (void *)&i,
	       width(type));
}

static void change_list(struct mutation *m, ProtobufCMessage *message, const ProtobufCFieldDescriptor *f)
{
	size_t *n = (size_t *)(void *)((char *)message + f->quantifier_offset), size = width(f->type);
	void **field = (void **)(void *)((char *)message + f->offset);
	unsigned char copy[64 * 8] = { 0 };
	size_t have = *n < 60 ? *n : 60;

	if (*n && below(m, 4)) {
		change_number(m, (char *)*field + size * below(m, *n), f->type);
		return;
	}
	if (*n)
		memcpy(copy, *field, have * size);
	change_number(m, copy + size * have, f->type);
	edit_list(m->doc, n, field, copy, below(m, have + 2), size, NULL);
}

/* ---- names and bytes ------------------------------------------------------------------------------------------ */

static const char *some_operator(struct mutation *m)
{
	const struct op *rows = op_table.families[below(m, (uint64_t)op_table.count)];
	uint64_t n = 0;

	while (rows[n].name)
		n++;
	return n ? rows[below(m, n)].name : "Relu";
}

static const char *some_name(struct mutation *m, const ProtobufCFieldDescriptor *f)
{
	if (!strcmp(f->name, "op_type") && below(m, 2))
		return some_operator(m);
	return m->n_names && below(m, 12) ? m->names[below(m, m->n_names)] : "";
}

static void change_text(struct mutation *m, ProtobufCMessage *message, const ProtobufCFieldDescriptor *f)
{
	char *at = (char *)message + f->offset;
	char *name = strdup(some_name(m, f));
	size_t n;

	fuzz_expect(name != NULL, "memory");
	if (f->label != PROTOBUF_C_LABEL_REPEATED) {
		edit_string(m->doc, (char **)(void *)at, name, NULL);
	} else {
		size_t *count = (size_t *)(void *)((char *)message + f->quantifier_offset);
		char ***list = (char ***)(void *)at;

		n = *count;
		if (n == 0 || below(m, 6) == 0)
			edit_string_insert(m->doc, count, list, below(m, n + 1), name, NULL);
		else if (below(m, 5) == 0)
			edit_string_remove(m->doc, count, list, below(m, n));
		else
			edit_string(m->doc, &(*list)[below(m, n)], name, NULL);
	}
	free(name);
}

static void change_bytes(struct mutation *m, ProtobufCMessage *message, const ProtobufCFieldDescriptor *f)
{
	ProtobufCBinaryData *b = (ProtobufCBinaryData *)(void *)((char *)message + f->offset);
	protobuf_c_boolean *has = (protobuf_c_boolean *)(void *)((char *)message + f->quantifier_offset);
	uint8_t copy[512] = { 0 };
	size_t n = b->len < sizeof copy ? b->len : sizeof copy;

	if (f->label == PROTOBUF_C_LABEL_REPEATED)
		return;
	if (b->len && below(m, 3)) {
		b->data[below(m, b->len)] = (uint8_t)rng_next(&m->rng);
		return;
	}
	if (n)
		memcpy(copy, b->data, n);
	edit_bytes(m->doc, has, b, copy, below(m, 3) ? below(m, n + 1) : below(m, sizeof copy), NULL);
}

/* ---- parts ---------------------------------------------------------------------------------------------------- */

static void change_parts(struct mutation *m, ProtobufCMessage *message, const ProtobufCFieldDescriptor *f)
{
	size_t *n = (size_t *)(void *)((char *)message + f->quantifier_offset);
	void ***list = (void ***)(void *)((char *)message + f->offset);
	size_t i, k;

	if (f->label != PROTOBUF_C_LABEL_REPEATED || *n == 0)
		return;
	i = below(m, *n), k = below(m, *n);
	if (below(m, 3) == 0) {
		void *t = (*list)[i];

		(*list)[i] = (*list)[k];
		(*list)[k] = t;
	} else if (below(m, 2)) {
		edit_free(m->doc, edit_take(n, list, i));
	} else {
		void *copy = edit_copy(m->doc, (*list)[i]);

		if (copy && edit_insert(m->doc, n, list, k, copy, NULL) != TAMIS_OK)
			edit_free(m->doc, copy);
	}
}

/* Numbers get their presence along with a value. */
static void change_scalar(struct mutation *m, ProtobufCMessage *message, const ProtobufCFieldDescriptor *f)
{
	char *has = (char *)message + f->quantifier_offset;

	if (f->label == PROTOBUF_C_LABEL_OPTIONAL && !(f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)) {
		protobuf_c_boolean is = below(m, 8) > 0;

		memcpy(has, &is, sizeof is);
	}
	change_number(m, (char *)message + f->offset, f->type);
}

static void change(struct mutation *m)
{
	ProtobufCMessage *message = m->messages[below(m, m->n_messages)];
	const ProtobufCFieldDescriptor *f = &message->descriptor->fields[below(m, message->descriptor->n_fields)];

	if (!chosen(message, f))
		return;
	if (f->type == PROTOBUF_C_TYPE_MESSAGE)
		change_parts(m, message, f);
	else if (f->type == PROTOBUF_C_TYPE_BYTES)
		change_bytes(m, message, f);
	else if (f->type == PROTOBUF_C_TYPE_STRING)
		change_text(m, message, f);
	else if (f->label == PROTOBUF_C_LABEL_REPEATED)
		change_list(m, message, f);
	else
		change_scalar(m, message, f);
}

/* Packs the tree over the input, where it has room. */
static size_t pack(const ProtobufCMessage *root, uint8_t *data, size_t max_size)
{
	size_t n = protobuf_c_message_get_packed_size(root);

	return n <= max_size ? protobuf_c_message_pack(root, data) : 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	static struct mutation m;
	static struct document tree; /* nothing but the allocator, which is what edits need of it */
	const struct doc_limits limits = { .max_memory = FUZZ_MEMORY };
	void *root = NULL;
	size_t n;

	m.rng = rng_make(seed, 0);
	m.doc = &tree;
	allocator_init(&tree.allocator, &tree.memory, &limits);
	if (below(&m, 10) == 0 || unpack_message(fuzz_message, data, size, &limits, &tree.allocator, &root, NULL) != TAMIS_OK)
		return LLVMFuzzerMutate(data, size, max_size);
	for (uint64_t k = 1 + below(&m, 4); k > 0; k--) {
		m.n_messages = m.n_names = 0;
		collect(&m, root);
		change(&m);
	}
	n = pack(root, data, max_size);
	edit_free(&tree, root);
	return n ? n : LLVMFuzzerMutate(data, size, max_size);
}
