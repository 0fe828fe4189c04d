/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx/edit.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_fail(err, TAMIS_E_MEMORY, "out of memory, or over its limit, while changing the model");
}

void *doc_alloc(struct document *doc, size_t size)
{
	void *p = doc->allocator.alloc(doc->allocator.allocator_data, size);
	return p ? memset(p, 0, size) : NULL;
}

void doc_release(struct document *doc, void *p)
{
	doc->allocator.free(doc->allocator.allocator_data, p);
}

static void *duplicate(struct document *doc, const void *data, size_t size)
{
	void *p = doc->allocator.alloc(doc->allocator.allocator_data, size);
	return p && size ? memcpy(p, data, size) : p;
}

char *doc_strdup(struct document *doc, const char *s)
{
	return duplicate(doc, s, strlen(s) + 1);
}

void *edit_new(struct document *doc, const ProtobufCMessageDescriptor *type)
{
	void *message = doc_alloc(doc, type->sizeof_message);
	if (message)
		protobuf_c_message_init(type, message);
	return message;
}

void edit_free(struct document *doc, void *message)
{
	if (message)
		protobuf_c_message_free_unpacked(message, &doc->allocator);
}

/* By way of the packed form, which is the one copy that protobuf-c can make. */
void *edit_copy(struct document *doc, const void *message)
{
	const ProtobufCMessage *from = message;
	size_t size = protobuf_c_message_get_packed_size(from);
	uint8_t *bytes = malloc(size ? size : 1);
	if (!bytes)
		return NULL;
	protobuf_c_message_pack(from, bytes);
	void *copy = protobuf_c_message_unpack(from->descriptor, &doc->allocator, size, bytes);
	free(bytes);
	return copy;
}

enum tamis_status edit_string(struct document *doc, char **field, const char *text, struct tamis_error *err)
{
	char *copy = text ? doc_strdup(doc, text) : NULL;
	if (text && !copy)
		return no_memory(err);
	doc_release(doc, *field);
	*field = copy;
	return TAMIS_OK;
}

enum tamis_status edit_bytes(struct document *doc, protobuf_c_boolean *has, ProtobufCBinaryData *field,
                             const void *data, size_t size, struct tamis_error *err)
{
	void *copy = data ? duplicate(doc, data, size) : NULL;
	if (data && !copy)
		return no_memory(err);
	doc_release(doc, field->data);
	*field = (ProtobufCBinaryData){ .len = data ? size : 0, .data = copy };
	if (has)
		*has = data != NULL;
	return TAMIS_OK;
}

enum tamis_status edit_list(struct document *doc, size_t *n, void **field, const void *values, size_t count,
                            size_t size, struct tamis_error *err)
{
	size_t bytes;
	void *copy = NULL;
	if (count && (!tm_mul(count, size, &bytes) || !(copy = duplicate(doc, values, bytes))))
		return no_memory(err);
	doc_release(doc, *field);
	*field = copy;
	*n = count;
	return TAMIS_OK;
}

/* A copy of the list with a gap of one pointer at `at`; the old one is released. */
static void **with_gap(struct document *doc, size_t n, void **list, size_t at)
{
	size_t bytes;
	if (!tm_mul(n + 1, sizeof *list, &bytes))
		return NULL;
	void **grown = doc->allocator.alloc(doc->allocator.allocator_data, bytes);
	if (!grown)
		return NULL;
	if (at)
		memcpy(grown, list, at * sizeof *list);
	if (n > at)
		memcpy(grown + at + 1, list + at, (n - at) * sizeof *list);
	doc_release(doc, list);
	return grown;
}

/* `list` is the address of some message-pointer array; its pointers all have one representation. */
static void **list_get(const void *list)
{
	void **array;
	memcpy(&array, list, sizeof array);
	return array;
}

static void list_set(void *list, void **array)
{
	memcpy(list, &array, sizeof array);
}

enum tamis_status edit_insert(struct document *doc, size_t *n, void *list, size_t at, void *message,
                              struct tamis_error *err)
{
	void **grown = with_gap(doc, *n, list_get(list), at);
	if (!grown)
		return no_memory(err);
	grown[at] = message;
	list_set(list, grown);
	++*n;
	return TAMIS_OK;
}

void *edit_take(size_t *n, void *list, size_t at)
{
	void **array = list_get(list);
	void *message = array[at];
	memmove(array + at, array + at + 1, (*n - at - 1) * sizeof *array);
	--*n;
	return message;
}

void edit_filter(struct document *doc, size_t *n, void *list, const bool *drop)
{
	void **array = list_get(list);
	size_t kept = 0;
	for (size_t i = 0; i < *n; i++) {
		if (drop[i])
			edit_free(doc, array[i]);
		else
			array[kept++] = array[i];
	}
	*n = kept;
}

enum tamis_status edit_string_insert(struct document *doc, size_t *n, char ***list, size_t at,
                                     const char *text, struct tamis_error *err)
{
	char *copy = doc_strdup(doc, text);
	if (!copy)
		return no_memory(err);
	enum tamis_status st = edit_insert(doc, n, list, at, copy, err);
	if (st != TAMIS_OK)
		doc_release(doc, copy);
	return st;
}

void edit_string_remove(struct document *doc, size_t *n, char ***list, size_t at)
{
	doc_release(doc, edit_take(n, list, at));
}
