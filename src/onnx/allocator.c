/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx/allocator.h"

#include <stdlib.h>

#include "base/checked.h"
#include "onnx/wire.h"

#define DEFAULT_MEMORY (16ull << 30)
#define DEFAULT_MESSAGES 4000000ull
#define MAX_MESSAGES (1ull << 30)
#define FREE_MEMORY (64ull << 20) /* what any file may take to unpack ... */
#define GROWTH 64ull              /* ... and so many for each byte of it: conformance models need 32 at most
                                     */

/* Before each block: what it takes, so that the count goes down when it is freed. Payloads, which are computed on where
 * they lie, start at a cache line; small blocks keep malloc's alignment. */
union header {
	size_t total;
	max_align_t align;
};

enum { PAYLOAD = 4096, LINE = 64 };

static size_t room_before(size_t total)
{
	return total >= PAYLOAD + LINE ? LINE : sizeof(union header);
}

static bool total_of(size_t size, size_t *total)
{
	if (size < PAYLOAD)
		return tm_add(size, sizeof(union header), total);
	if (!tm_add(size, LINE + LINE - 1, total))
		return false;
	*total -= *total % LINE;
	return true;
}

static void *counted_alloc(void *ctx, size_t size)
{
	struct doc_memory *m = ctx;
	size_t total;
	m->calls++;
	if (m->calls == m->fail_at || !total_of(size, &total) || total > m->cap - m->used)
		return NULL;
	char *block = size < PAYLOAD ? malloc(total) : aligned_alloc(LINE, total);
	if (!block)
		return NULL;
	block += size < PAYLOAD ? sizeof(union header) : LINE;
	((union header *)block)[-1].total = total;
	m->used += total;
	if (m->used > m->peak)
		m->peak = m->used;
	return block;
}

static void counted_free(void *ctx, void *p)
{
	struct doc_memory *m = ctx;
	if (!p)
		return;
	size_t total = ((union header *)p)[-1].total;
	m->used -= total;
	free((char *)p - room_before(total));
}

uint64_t limits_memory(const struct doc_limits *limits)
{
	return limits && limits->max_memory ? limits->max_memory : DEFAULT_MEMORY;
}

void allocator_init(ProtobufCAllocator *a, struct doc_memory *m, const struct doc_limits *limits)
{
	*m = (struct doc_memory){ .cap = limits_memory(limits) };
	if (limits && limits->fail_after)
		m->fail_at = limits->fail_after + 1;
	*a = (ProtobufCAllocator){ counted_alloc, counted_free, m };
}

static struct wire_limits scan_limits(const struct doc_limits *limits, size_t size)
{
	struct wire_limits w = { .memory = limits_memory(limits) };
	uint64_t grown = FREE_MEMORY + GROWTH * size;
	if ((!limits || !limits->max_memory) && grown < w.memory)
		w.memory = grown;
	uint64_t messages = DEFAULT_MESSAGES + size / 64;
	w.messages = limits && limits->max_messages ? limits->max_messages : messages;
	if (w.messages > MAX_MESSAGES)
		w.messages = MAX_MESSAGES;
	return w;
}

enum tamis_status unpack_message(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t size,
                                 const struct doc_limits *limits, ProtobufCAllocator *a, void **out,
                                 struct tamis_error *err)
{
	*out = NULL;
	struct wire_limits w = scan_limits(limits, size);
	enum tamis_status st = wire_scan(type, data, size, &w, NULL, err);
	if (st != TAMIS_OK)
		return st;
	/* The scan has refused whatever protobuf-c would refuse, so only memory can be missing here. */
	*out = protobuf_c_message_unpack(type, a, size, data);
	return *out ? TAMIS_OK : tm_no_memory(err, "unpacking the file, or its limit is reached");
}
