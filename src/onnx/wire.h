/* SPDX-License-Identifier: Apache-2.0 */
/* A look at protobuf bytes before they are unpacked: protobuf-c recurses without limit, allocates without
 * budget and cuts strings at a NUL, so a hostile file must never reach it. Everything real passes. */
#ifndef ONNX_WIRE_H
#define ONNX_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "base/error.h"

#define WIRE_MAX_DEPTH 100 /* nested messages; the reference implementation's own limit */

struct wire_limits {
	int depth;         /* most nested messages, 1 .. WIRE_MAX_DEPTH; 0 = WIRE_MAX_DEPTH */
	uint64_t messages; /* most messages in all; 0 = no limit */
	uint64_t memory;   /* most bytes that unpacking may take; 0 = no limit */
};

/* What a scan found. */
struct wire_stats {
	uint64_t messages; /* including the root */
	uint64_t fields;   /* known and unknown, at every level */
	uint64_t unknown;  /* of these, not in the schema */
	uint64_t memory;   /* upper bound of the bytes that protobuf-c allocates to unpack, its scratch included */
	int depth;         /* deepest nesting; the root is 1 */
};

/* Walks `size` bytes as one message of type `root`, without recursion and without allocating.
 * TAMIS_E_INVALID, with the byte offset in the sentence, on: tag 0 or wider than 32 bits, a varint over 10
 * bytes or cut off, a length past the end of its message or above INT_MAX, groups and unassigned wire types,
 * a wire type that does not fit the field, a packed list that ends inside an element, a string with a NUL
 * byte, a singular sub-message or oneof given twice, nesting beyond limits->depth. TAMIS_E_MEMORY beyond
 * limits->messages or limits->memory. Unknown fields are fine. limits NULL = none but the depth. stats may be
 * NULL; it is filled only on success. O(size). */
enum tamis_status wire_scan(const ProtobufCMessageDescriptor *root, const uint8_t *data, size_t size,
                            const struct wire_limits *limits, struct wire_stats *stats,
                            struct tamis_error *err);

#endif
