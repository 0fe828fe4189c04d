/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx/walk.h"

#include <stddef.h>

#define AT(type, message, offset) (*(type *)((char *)(message) + (offset)))

/* Where the walk stands in one message: the next field, and the next element of a repeated field. */
struct place {
	ProtobufCMessage *message;
	unsigned field;
	size_t element;
};

/* The next sub-message of p, in the order of field numbers; NULL when there is none left. */
static ProtobufCMessage *next_child(struct place *p)
{
	const ProtobufCMessageDescriptor *type = p->message->descriptor;
	for (; p->field < type->n_fields; p->field++, p->element = 0) {
		const ProtobufCFieldDescriptor *f = &type->fields[p->field];
		if (f->type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		if (f->label == PROTOBUF_C_LABEL_REPEATED) {
			if (p->element < AT(size_t, p->message, f->quantifier_offset))
				return AT(ProtobufCMessage **, p->message, f->offset)[p->element++];
			continue;
		}
		if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) && AT(uint32_t, p->message, f->quantifier_offset) != f->id)
			continue;
		ProtobufCMessage *child = AT(ProtobufCMessage *, p->message, f->offset);
		if (child && p->element++ == 0)
			return child;
	}
	return NULL;
}

enum tamis_status walk_messages(ProtobufCMessage *root, const ProtobufCMessageDescriptor *wanted, walk_fn fn,
                                void *ctx, struct tamis_error *err)
{
	struct place stack[WALK_MAX_DEPTH];
	int depth = 0;
	ProtobufCMessage *enter = root;
	while (enter || depth > 0) {
		if (enter) {
			if (depth == WALK_MAX_DEPTH)
				return tm_fail(err, TAMIS_E_INVALID, "messages are nested deeper than %d", WALK_MAX_DEPTH);
			if (enter->descriptor == wanted) {
				enum tamis_status st = fn(ctx, enter, err);
				if (st != TAMIS_OK)
					return st;
			}
			stack[depth++] = (struct place){ .message = enter };
		}
		enter = next_child(&stack[depth - 1]);
		if (!enter)
			depth--;
	}
	return TAMIS_OK;
}
