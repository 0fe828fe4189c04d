/* SPDX-License-Identifier: Apache-2.0 */
/* Every message of one type in a protobuf tree, wherever it hangs, in file order and without recursion. */
#ifndef ONNX_WALK_H
#define ONNX_WALK_H

#include <protobuf-c/protobuf-c.h>

#include "base/error.h"

#define WALK_MAX_DEPTH 160 /* nested messages; a loaded tree has at most WIRE_MAX_DEPTH, edits add few */

/* A status other than TAMIS_OK ends the walk. The function may change the message's own scalar and payload
 * fields, not the lists or sub-messages of type `wanted` on the path to it. */
typedef enum tamis_status (*walk_fn)(void *ctx, ProtobufCMessage *message, struct tamis_error *err);

/* Calls fn for each message of type `wanted` at or below root, parents before children. TAMIS_E_INVALID when
 * nested beyond WALK_MAX_DEPTH. No allocation. O(messages). */
enum tamis_status walk_messages(ProtobufCMessage *root, const ProtobufCMessageDescriptor *wanted, walk_fn fn,
                                void *ctx, struct tamis_error *err);

#endif
