/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx/wire.h"

#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

enum {
	BLOCK = 48,      /* bound of what an allocation costs besides its bytes: our header, malloc's, rounding */
	SCRATCH = 64,    /* bound of protobuf-c's scratch for one field while its message is parsed ... */
	SCRATCH_FREE = 16 /* ... beyond the first so many, which live on the stack */
};

struct frame {
	const ProtobufCMessageDescriptor *type;
	size_t end;      /* offset behind the last byte of the message */
	uint64_t fields; /* fields so far */
	uint64_t seen;   /* bit i: schema field i came */
};

struct scan {
	const uint8_t *data;
	size_t at;
	struct frame stack[WIRE_MAX_DEPTH];
	int depth;
	int max_depth;
	uint64_t max_messages, max_memory;
	struct wire_stats stats;
	struct tamis_error *err;
};

struct tag {
	uint32_t number;
	unsigned wire;
	size_t at; /* offset of the tag, for messages */
};

static enum tamis_status refuse(struct scan *s, size_t at, const char *what)
{
	const struct frame *top = &s->stack[s->depth - 1];
	return tm_fail(s->err, TAMIS_E_INVALID, "byte %zu (in a %s): %s", at, top->type->short_name, what);
}

static enum tamis_status refuse_field(struct scan *s, const struct tag *tag,
                                      const ProtobufCFieldDescriptor *f, const char *what)
{
	const struct frame *top = &s->stack[s->depth - 1];
	return tm_fail(s->err, TAMIS_E_INVALID, "byte %zu: field %s.%s %s", tag->at, top->type->short_name, f->name,
	               what);
}

/* Base-128 number of at most 10 bytes, ending before `end`. */
static enum tamis_status varint(struct scan *s, size_t end, uint64_t *out)
{
	uint64_t value = 0;
	size_t start = s->at;
	for (unsigned i = 0; i < 10; i++) {
		if (s->at >= end)
			return refuse(s, start, "a number is cut off by the end of its message");
		uint8_t b = s->data[s->at++];
		value |= (uint64_t)(b & 0x7f) << (7 * i);
		if (!(b & 0x80)) {
			*out = value;
			return TAMIS_OK;
		}
	}
	return refuse(s, start, "a number is longer than 10 bytes");
}

static enum tamis_status skip(struct scan *s, size_t bytes)
{
	if (bytes > s->stack[s->depth - 1].end - s->at)
		return refuse(s, s->at, "a fixed-size number is cut off by the end of its message");
	s->at += bytes;
	return TAMIS_OK;
}

/* Length prefix of a field; on success the bytes [s->at, s->at + *len) lie inside the message. */
static enum tamis_status length(struct scan *s, size_t *len)
{
	size_t start = s->at, end = s->stack[s->depth - 1].end;
	uint64_t n = 0;
	if (varint(s, end, &n) != TAMIS_OK)
		return TAMIS_E_INVALID;
	if (n > INT_MAX)
		return refuse(s, start, "a length is above 2147483647 bytes");
	if (n > end - s->at)
		return tm_fail(s->err, TAMIS_E_INVALID,
		               "byte %zu (in a %s): a field of %" PRIu64 " bytes is cut off after %zu",
		               start, s->stack[s->depth - 1].type->short_name, n, end - s->at);
	*len = (size_t)n;
	return TAMIS_OK;
}

static unsigned wire_of(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
		return PROTOBUF_C_WIRE_TYPE_32BIT;
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return PROTOBUF_C_WIRE_TYPE_64BIT;
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE:
		return PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
	default:
		return PROTOBUF_C_WIRE_TYPE_VARINT;
	}
}

/* Bytes of one element of a repeated field in memory. */
static uint64_t element_bytes(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_ENUM:
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_BOOL:
		return 4;
	default:
		return 8;
	}
}

/* Elements of a packed list. Its numbers must end where the list ends. */
static enum tamis_status packed(struct scan *s, const struct tag *tag, const ProtobufCFieldDescriptor *f,
                                size_t len)
{
	size_t end = s->at + len;
	unsigned wire = wire_of(f->type);
	if (wire != PROTOBUF_C_WIRE_TYPE_VARINT) {
		size_t width = wire == PROTOBUF_C_WIRE_TYPE_32BIT ? 4 : 8;
		if (len % width != 0)
			return refuse_field(s, tag, f, "is a packed list that ends inside an element");
		s->stats.memory += len;
		s->at = end;
		return TAMIS_OK;
	}
	while (s->at < end) {
		uint64_t ignored;
		if (varint(s, end, &ignored) != TAMIS_OK)
			return TAMIS_E_INVALID;
		s->stats.memory += element_bytes(f->type);
	}
	return TAMIS_OK;
}

static enum tamis_status over_budget(struct scan *s)
{
	if (s->max_messages && s->stats.messages > s->max_messages)
		return tm_fail(s->err, TAMIS_E_MEMORY, "byte %zu: more than %" PRIu64 " messages; the limit keeps hostile "
		               "files from taking all memory", s->at, s->max_messages);
	if (s->max_memory && s->stats.memory > s->max_memory)
		return tm_fail(s->err, TAMIS_E_MEMORY, "byte %zu: loading would take more than the limit of %" PRIu64
		               " bytes of memory", s->at, s->max_memory);
	return TAMIS_OK;
}

static enum tamis_status enter(struct scan *s, const ProtobufCMessageDescriptor *type, size_t len)
{
	if (s->depth >= s->max_depth)
		return tm_fail(s->err, TAMIS_E_INVALID, "byte %zu: messages are nested deeper than %d", s->at,
		               s->max_depth);
	s->stack[s->depth++] = (struct frame){ .type = type, .end = s->at + len };
	if (s->depth > s->stats.depth)
		s->stats.depth = s->depth;
	s->stats.messages++;
	s->stats.memory += type->sizeof_message + BLOCK;
	return over_budget(s);
}

/* A singular sub-message or a member of a oneof may come once: protobuf would merge or replace, and the file
 * could not be written back as it was. Every schema type has fewer than 64 fields. */
static enum tamis_status only_once(struct scan *s, const struct tag *tag, const ProtobufCFieldDescriptor *f)
{
	struct frame *top = &s->stack[s->depth - 1];
	unsigned index = (unsigned)(f - top->type->fields);
	bool oneof = f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF;
	uint64_t rivals = 1ull << index;
	for (unsigned i = 0; oneof && i < top->type->n_fields; i++)
		if (top->type->fields[i].quantifier_offset == f->quantifier_offset
		    && (top->type->fields[i].flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
			rivals |= 1ull << i;
	bool repeated_field = f->label == PROTOBUF_C_LABEL_REPEATED;
	if (!repeated_field && (oneof || f->type == PROTOBUF_C_TYPE_MESSAGE) && (top->seen & rivals))
		return refuse_field(s, tag, f, "is given twice");
	if (repeated_field && !(top->seen & rivals))
		s->stats.memory += BLOCK;
	top->seen |= 1ull << index;
	return TAMIS_OK;
}

static enum tamis_status length_prefixed(struct scan *s, const struct tag *tag,
                                         const ProtobufCFieldDescriptor *f)
{
	size_t len;
	if (length(s, &len) != TAMIS_OK)
		return TAMIS_E_INVALID;
	if (wire_of(f->type) != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED)
		return packed(s, tag, f, len);
	if (f->label == PROTOBUF_C_LABEL_REPEATED)
		s->stats.memory += element_bytes(f->type);
	if (f->type == PROTOBUF_C_TYPE_MESSAGE)
		return enter(s, f->descriptor, len);
	if (f->type == PROTOBUF_C_TYPE_STRING && memchr(s->data + s->at, 0, len))
		return refuse_field(s, tag, f, "holds a NUL byte, which no text may");
	s->stats.memory += len + BLOCK;
	s->at += len;
	return TAMIS_OK;
}

static enum tamis_status known(struct scan *s, const struct tag *tag, const ProtobufCFieldDescriptor *f)
{
	bool list = f->label == PROTOBUF_C_LABEL_REPEATED && tag->wire == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
	if (tag->wire != wire_of(f->type) && !list)
		return refuse_field(s, tag, f, "has the wrong wire type");
	if (only_once(s, tag, f) != TAMIS_OK)
		return TAMIS_E_INVALID;
	if (tag->wire == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED)
		return length_prefixed(s, tag, f);
	if (f->label == PROTOBUF_C_LABEL_REPEATED)
		s->stats.memory += element_bytes(f->type);
	uint64_t ignored;
	if (tag->wire == PROTOBUF_C_WIRE_TYPE_VARINT)
		return varint(s, s->stack[s->depth - 1].end, &ignored);
	return skip(s, tag->wire == PROTOBUF_C_WIRE_TYPE_64BIT ? 8 : 4);
}

static enum tamis_status unknown(struct scan *s, const struct tag *tag)
{
	size_t start = s->at, len;
	uint64_t ignored;
	enum tamis_status st;
	switch (tag->wire) {
	case PROTOBUF_C_WIRE_TYPE_VARINT:
		st = varint(s, s->stack[s->depth - 1].end, &ignored);
		break;
	case PROTOBUF_C_WIRE_TYPE_64BIT:
		st = skip(s, 8);
		break;
	case PROTOBUF_C_WIRE_TYPE_32BIT:
		st = skip(s, 4);
		break;
	default:
		st = length(s, &len);
		if (st == TAMIS_OK)
			s->at += len;
		break;
	}
	s->stats.unknown++;
	s->stats.memory += sizeof(ProtobufCMessageUnknownField) + BLOCK + (s->at - start);
	return st;
}

static enum tamis_status read_tag(struct scan *s, struct tag *tag)
{
	uint64_t value;
	tag->at = s->at;
	if (varint(s, s->stack[s->depth - 1].end, &value) != TAMIS_OK)
		return TAMIS_E_INVALID;
	if (value > UINT32_MAX || s->at - tag->at > 5)
		return refuse(s, tag->at, "a field number is wider than 29 bits");
	tag->number = (uint32_t)(value >> 3);
	tag->wire = (unsigned)(value & 7);
	if (tag->number == 0)
		return refuse(s, tag->at, "field number 0 does not exist");
	if (tag->wire == 3 || tag->wire == 4)
		return refuse(s, tag->at, "groups are not part of the ONNX format");
	if (tag->wire > 5)
		return refuse(s, tag->at, "wire type 6 or 7 does not exist");
	return TAMIS_OK;
}

/* One field of the innermost message. */
static enum tamis_status field(struct scan *s)
{
	struct tag tag = { 0 };
	if (read_tag(s, &tag) != TAMIS_OK)
		return TAMIS_E_INVALID;
	struct frame *top = &s->stack[s->depth - 1];
	s->stats.fields++;
	if (++top->fields > SCRATCH_FREE)
		s->stats.memory += SCRATCH + (top->fields == SCRATCH_FREE + 1 ? SCRATCH * SCRATCH_FREE + 8 * BLOCK : 0);
	const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field(top->type, tag.number);
	enum tamis_status st = f ? known(s, &tag, f) : unknown(s, &tag);
	return st != TAMIS_OK ? st : over_budget(s);
}

enum tamis_status wire_scan(const ProtobufCMessageDescriptor *root, const uint8_t *data, size_t size,
                            const struct wire_limits *limits, struct wire_stats *stats,
                            struct tamis_error *err)
{
	struct scan s = { .data = data, .max_depth = WIRE_MAX_DEPTH, .err = err };
	if (limits) {
		if (limits->depth > 0 && limits->depth < WIRE_MAX_DEPTH)
			s.max_depth = limits->depth;
		s.max_messages = limits->messages;
		s.max_memory = limits->memory;
	}
	enum tamis_status st = enter(&s, root, size);
	while (st == TAMIS_OK && s.depth > 0) {
		if (s.at == s.stack[s.depth - 1].end)
			s.depth--;
		else
			st = field(&s);
	}
	if (st == TAMIS_OK && stats)
		*stats = s.stats;
	return st;
}
