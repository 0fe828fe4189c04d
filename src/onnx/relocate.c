/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx/relocate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nettle/sha2.h>

#include "base/checked.h"
#include "base/file.h"
#include "base/memory.h"
#include "onnx/lists.h"
#include "onnx/payload.h"
#include "onnx/walk.h"

enum { ENTRIES = 3, NAME_TRIES = 100 };

/* One tensor on the move: how it was, and what stands in its place meanwhile. */
struct move {
	Onnx__TensorProto *tensor;
	Onnx__TensorProto saved; /* shallow */
	uint64_t offset;         /* in the data file */
	uint64_t bytes;
	struct tensor held;      /* inward: the elements */
	bool applied;
	Onnx__StringStringEntryProto entries[ENTRIES];
	Onnx__StringStringEntryProto *list[ENTRIES];
	char keys[ENTRIES][12], offset_text[24], length_text[24];
};

/* --- what moves ----------------------------------------------------------------------------------------- */

static enum tamis_status add_move(struct relocation *r, Onnx__TensorProto *t, struct tamis_error *err)
{
	void *moves = r->moves;
	if (!tm_grow(&moves, &r->cap, r->count + 1, sizeof *r->moves))
		return tm_no_memory(err, "planning the data file");
	r->moves = moves;
	r->moves[r->count++] = (struct move){ .tensor = t };
	return TAMIS_OK;
}

static bool is_external(const Onnx__TensorProto *t)
{
	return t->has_data_location && t->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
}

static enum tamis_status find_external(void *ctx, ProtobufCMessage *message, struct tamis_error *err)
{
	Onnx__TensorProto *t = (Onnx__TensorProto *)message;
	return is_external(t) ? add_move(ctx, t, err) : TAMIS_OK;
}

struct search {
	struct relocation *r;
	uint64_t threshold;
};

static enum tamis_status find_large(void *ctx, ProtobufCMessage *message, struct tamis_error *err)
{
	struct search *s = ctx;
	Onnx__GraphProto *g = (Onnx__GraphProto *)message;
	for (size_t i = 0; i < g->n_initializer; i++) {
		struct tensor shape;
		Onnx__TensorProto *t = g->initializer[i];
		if (is_external(t))
			continue;
		enum tamis_status st = payload_shape(t, &shape, err);
		if (st != TAMIS_OK)
			return st;
		if (shape.type != DT_STRING && tensor_bytes(&shape) >= s->threshold)
			st = add_move(s->r, t, err);
		if (st != TAMIS_OK)
			return st;
	}
	return TAMIS_OK;
}

char *directory_part(const char *path, size_t *n)
{
	const char *slash = strrchr(path, '/');
	*n = slash ? (size_t)(slash - path) + 1 : 0;
	char *dir = *n ? malloc(*n + 1) : tm_strdup("./");
	if (dir && *n) {
		memcpy(dir, path, *n);
		dir[*n] = '\0';
	}
	return dir;
}

/* May the external tensors stay where they are? */
static bool stays(const struct document *doc, const char *path)
{
	size_t n;
	char *dir = directory_part(path, &n);
	bool same = dir && !doc->pending_external && strcmp(path, "-") != 0 && file_same(dir, doc->dir);
	free(dir);
	return same;
}

enum tamis_status relocation_plan(struct relocation *r, struct document *doc, const char *path,
                                  const struct doc_save_options *options, struct tamis_error *err)
{
	*r = (struct relocation){ .doc = doc, .outward = options->external != DOC_EXTERNAL_NONE };
	struct search large = { r, options->threshold ? options->threshold : DOC_EXTERNAL_THRESHOLD };
	ProtobufCMessage *root = &doc->model->base;
	enum tamis_status st = TAMIS_OK;
	if (options->external != DOC_EXTERNAL_KEEP || !stays(doc, path))
		st = walk_messages(root, &onnx__tensor_proto__descriptor, find_external, r, err);
	if (st == TAMIS_OK && options->external == DOC_EXTERNAL_ALL)
		st = walk_messages(root, &onnx__graph_proto__descriptor, find_large, &large, err);
	if (st == TAMIS_OK && r->outward && r->count && strcmp(path, "-") == 0)
		return tm_fail(err, TAMIS_E_USAGE, "a model with a data file beside it cannot go to standard output");
	return st;
}

/* --- the data file -------------------------------------------------------------------------------------- */

/* Where the bytes of the data file go: into its digest, then into the file. */
struct sink {
	struct sha256_ctx hash;
	struct file_writer *writer; /* NULL: only the digest */
	uint64_t at;
};

static enum tamis_status sink_write(struct sink *s, const void *data, uint64_t size, struct tamis_error *err)
{
	sha256_update(&s->hash, (size_t)size, data);
	s->at += size;
	return s->writer ? file_writer_write(s->writer, data, (size_t)size, err) : TAMIS_OK;
}

static enum tamis_status sink_pad(struct sink *s, uint64_t to, struct tamis_error *err)
{
	static const uint8_t zeros[DOC_EXTERNAL_ALIGN];
	return to > s->at ? sink_write(s, zeros, to - s->at, err) : TAMIS_OK;
}

/* The whole data file, one tensor in memory at a time. Offsets follow from the sizes, so all passes agree. */
static enum tamis_status stream(struct relocation *r, struct sink *s, struct tamis_error *err)
{
	enum tamis_status st = TAMIS_OK;
	sha256_init(&s->hash);
	for (size_t i = 0; st == TAMIS_OK && i < r->count; i++) {
		struct move *m = &r->moves[i];
		struct tensor elements;
		st = payload_read(r->doc, m->tensor, &elements, err);
		if (st != TAMIS_OK)
			return st;
		m->bytes = tensor_bytes(&elements);
		m->offset = (s->at + DOC_EXTERNAL_ALIGN - 1) / DOC_EXTERNAL_ALIGN * DOC_EXTERNAL_ALIGN;
		st = sink_pad(s, m->offset, err);
		if (st == TAMIS_OK)
			st = sink_write(s, elements.data, m->bytes, err);
		tensor_free(&elements);
	}
	return st;
}

/* Is the file `name` in directory `dir` exactly what the digest says? */
static bool same_content(const char *dir, const char *name, const uint8_t digest[32], uint64_t size)
{
	struct sha256_ctx ctx;
	uint8_t found[32], buf[65536];
	struct stat info;
	int fd;
	if (file_open_beneath(dir, NULL, name, &fd, NULL) != TAMIS_OK)
		return false;
	bool same = fstat(fd, &info) == 0 && (uint64_t)info.st_size == size;
	sha256_init(&ctx);
	for (uint64_t at = 0; same && at < size;) {
		size_t n = size - at < sizeof buf ? (size_t)(size - at) : sizeof buf;
		same = file_pread_exact(fd, buf, n, at, NULL) == TAMIS_OK;
		sha256_update(&ctx, n, buf);
		at += n;
	}
	close(fd);
	sha256_digest(&ctx, sizeof found, found);
	return same && memcmp(found, digest, sizeof found) == 0;
}

/* STEM-16HEXDIGITS.data, with a number where a file of other content has that name. */
static char *data_name(const char *path, size_t dir_length, const uint8_t digest[32], int attempt)
{
	const char *stem = path + dir_length;
	size_t n = strlen(stem), room = n + 64;
	char hex[17], *name = malloc(room);
	if (n > 5 && strcmp(stem + n - 5, ".onnx") == 0)
		n -= 5;
	for (int i = 0; i < 8; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	if (name && attempt == 0)
		snprintf(name, room, "%.*s-%s.data", (int)n, stem, hex);
	else if (name)
		snprintf(name, room, "%.*s-%s-%d.data", (int)n, stem, hex, attempt);
	return name;
}

static char *join(const char *dir, const char *name)
{
	size_t room = strlen(dir) + strlen(name) + 1;
	char *path = malloc(room);
	if (path)
		snprintf(path, room, "%s%s", dir, name);
	return path;
}

/* *made: the file is there now, which it may be even after a failure. */
static enum tamis_status write_data(struct relocation *r, const char *path, bool *made, struct tamis_error *err)
{
	struct file_writer writer;
	struct sink s = { .writer = &writer };
	enum tamis_status st = file_writer_open(&writer, path, err);
	if (st != TAMIS_OK)
		return st;
	st = stream(r, &s, err);
	if (st == TAMIS_OK)
		st = file_writer_commit(&writer, err);
	if (st != TAMIS_OK)
		file_writer_abort(&writer);
	*made = writer.replaced;
	return st;
}

/* Takes the first name that is free, or whose file already holds these bytes; an existing file is never
 * replaced. */
static enum tamis_status place_data(struct relocation *r, const char *path, const uint8_t digest[32],
                                    uint64_t size, struct tamis_error *err)
{
	size_t n;
	struct stat info;
	char *dir = directory_part(path, &n), *target = NULL;
	bool made = false;
	enum tamis_status st = TAMIS_E_OUTPUT;
	for (int attempt = 0; attempt < NAME_TRIES; attempt++) {
		free(r->name);
		free(target);
		r->name = data_name(path, n, digest, attempt);
		target = dir && r->name ? join(dir, r->name) : NULL;
		if (!target) {
			st = tm_no_memory(err, "writing the data file");
			break;
		}
		bool taken = lstat(target, &info) == 0;
		if (taken && !same_content(dir, r->name, digest, size))
			continue;
		st = taken ? TAMIS_OK : write_data(r, target, &made, err);
		if (made) {
			r->created = target;
			target = NULL;
		}
		break;
	}
	free(dir);
	free(target);
	return st == TAMIS_OK ? st : tm_fail(err, st, "no name is free for the data file");
}

/* --- the tree while it is written ----------------------------------------------------------------------- */

/* t without elements; the saved copy keeps owning them. */
static void hollow(struct move *m)
{
	Onnx__TensorProto *t = m->tensor;
	m->saved = *t;
	m->applied = true;
	for (int i = 0; i < LIST_COUNT; i++) {
		struct list_slot s = list_slot(t, (enum list)i);
		*s.n = 0;
		*s.data = NULL;
	}
	t->has_raw_data = 0;
	t->raw_data = (ProtobufCBinaryData){ 0 };
	t->n_external_data = 0;
	t->external_data = NULL;
}

static void point_outward(struct move *m, char *name)
{
	static const char *const keys[ENTRIES] = { "location", "offset", "length" };
	Onnx__TensorProto *t = m->tensor;
	hollow(m);
	snprintf(m->offset_text, sizeof m->offset_text, "%llu", (unsigned long long)m->offset);
	snprintf(m->length_text, sizeof m->length_text, "%llu", (unsigned long long)m->bytes);
	char *values[ENTRIES] = { name, m->offset_text, m->length_text };
	for (int i = 0; i < ENTRIES; i++) {
		onnx__string_string_entry_proto__init(&m->entries[i]);
		snprintf(m->keys[i], sizeof m->keys[i], "%s", keys[i]);
		m->entries[i].key = m->keys[i];
		m->entries[i].value = values[i];
		m->list[i] = &m->entries[i];
	}
	t->n_external_data = ENTRIES;
	t->external_data = m->list;
	t->has_data_location = 1;
	t->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
}

static enum tamis_status point_inward(struct relocation *r, struct move *m, struct tamis_error *err)
{
	enum tamis_status st = payload_read(r->doc, m->tensor, &m->held, err);
	if (st != TAMIS_OK)
		return st;
	hollow(m);
	m->tensor->has_raw_data = 1;
	m->tensor->raw_data = (ProtobufCBinaryData){ .len = tensor_bytes(&m->held), .data = m->held.data };
	m->tensor->has_data_location = 0;
	m->tensor->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__DEFAULT;
	return TAMIS_OK;
}

enum tamis_status relocation_apply(struct relocation *r, const char *path, struct tamis_error *err)
{
	struct sink measure = { .writer = NULL };
	uint8_t digest[32];
	enum tamis_status st = TAMIS_OK;
	if (r->count == 0)
		return st;
	for (size_t i = 0; !r->outward && st == TAMIS_OK && i < r->count; i++)
		st = point_inward(r, &r->moves[i], err);
	if (!r->outward || st != TAMIS_OK)
		return st;
	st = stream(r, &measure, err);
	sha256_digest(&measure.hash, sizeof digest, digest);
	if (st == TAMIS_OK)
		st = place_data(r, path, digest, measure.at, err);
	for (size_t i = 0; st == TAMIS_OK && i < r->count; i++)
		point_outward(&r->moves[i], r->name);
	return st;
}

void relocation_finish(struct relocation *r, bool keep)
{
	for (size_t i = 0; i < r->count; i++) {
		if (r->moves[i].applied)
			*r->moves[i].tensor = r->moves[i].saved;
		tensor_free(&r->moves[i].held);
	}
	if (r->created && !keep)
		unlink(r->created);
	free(r->moves);
	free(r->name);
	free(r->created);
	*r = (struct relocation){ .doc = r->doc };
}
