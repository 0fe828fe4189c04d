/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays as the members of a zip file, stored or deflated, sizes before data. Each member is read twice, once for
 * its checksum and size, once to write it. */
#include "data/npz.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/checked.h"
#include "base/memory.h"
#include "data/npy.h"
#include "data/zip_records.h"

enum { BLOCK = 64 << 10, HEADER_ROOM = 512 };

struct member {
	struct zip_entry entry;
	struct tensor shape;   /* as written; no data */
	bool grown;
	int spool;             /* rows of a grown member; -1 otherwise */
	uint8_t header[HEADER_ROOM];
	size_t header_bytes;
};

struct npz_writer {
	struct zip_out out;
	bool deflate;
	struct member *members;
	size_t n, cap;
	uint8_t *block, *packed_block;
};

/* ---- life ---- */

enum tamis_status npz_open(const char *path, bool deflate, struct npz_writer **out, struct tamis_error *err)
{
	struct npz_writer *w = tm_array(1, sizeof *w);
	enum tamis_status status;

	*out = NULL;
	if (!w)
		return tm_no_memory(err, "opening an output");
	w->deflate = deflate;
	w->block = malloc(BLOCK);
	w->packed_block = malloc(BLOCK);
	status = w->block && w->packed_block ? file_writer_open(&w->out.file, path, err)
	                                     : tm_no_memory(err, "opening an output");
	if (status != TAMIS_OK) {
		npz_abort(w);
		return status;
	}
	*out = w;
	return TAMIS_OK;
}

void npz_abort(struct npz_writer *w)
{
	if (!w)
		return;
	file_writer_abort(&w->out.file);
	for (size_t i = 0; i < w->n; i++) {
		if (w->members[i].spool >= 0)
			close(w->members[i].spool);
		free(w->members[i].entry.name);
	}
	free(w->members);
	free(w->block);
	free(w->packed_block);
	free(w);
}

/* Few members grow, however many there are. */
static struct member *find_grown(struct npz_writer *w, const char *name)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->members[i].grown && strcmp(w->members[i].entry.name, name) == 0)
			return &w->members[i];
	return NULL;
}

static enum tamis_status add_member(struct npz_writer *w, const char *name, struct member **out,
                                    struct tamis_error *err)
{
	void *grown = w->members;
	char *copy;

	if (strlen(name) > 60000)
		return tm_fail(err, TAMIS_E_INVALID, "a name of %zu bytes is too long for a zip member",
		               strlen(name));
	if (!tm_grow(&grown, &w->cap, w->n + 1, sizeof *w->members))
		return tm_no_memory(err, "writing an array");
	w->members = grown;
	copy = tm_strdup(name);
	if (!copy)
		return tm_no_memory(err, "writing an array");
	*out = &w->members[w->n++];
	**out = (struct member){.entry = {.name = copy, .deflated = w->deflate}, .spool = -1};
	return TAMIS_OK;
}

/* ---- what numpy has no type for ---- */

static enum dtype written_type(enum dtype type)
{
	if (type == DT_UINT4 || type == DT_UINT2)
		return DT_UINT8;
	if (type == DT_INT4 || type == DT_INT2)
		return DT_INT8;
	if (dtype_known((int)type) && type != DT_STRING && dtype_descr((int)type)[0] == '\0')
		return DT_FLOAT;
	return type;
}

/* *out shares the data of t, or owns a converted copy (then *owned). */
static enum tamis_status widen(const struct tensor *t, struct tensor *out, bool *owned,
                               struct tamis_error *err)
{
	enum tamis_status status;

	*out = *t;
	*owned = false;
	if (t->type == DT_STRING || !dtype_known((int)t->type))
		return tm_fail(err, TAMIS_E_UNSUPPORTED, "a tensor of type %s cannot be written to a .npz",
		               dtype_name((int)t->type));
	if (written_type(t->type) == t->type)
		return TAMIS_OK;
	out->data = NULL;
	status = tensor_shape(out, written_type(t->type), t->rank, t->dims, err);
	if (status == TAMIS_OK)
		status = tensor_alloc(out, err);
	if (status == TAMIS_OK)
		status = tensor_convert(t, out, err);
	*owned = out->data != NULL;
	return status;
}

/* ---- temporary files ---- */

/* An unnamed file beside the output. */
static int open_spool(const char *path)
{
	const char *slash = strrchr(path, '/'), *temporary = getenv("TMPDIR");
	struct arena a = {0};
	char *dir, *name;
	int fd = -1;

	if (strcmp(path, "-") == 0 || strncmp(path, "/dev/", 5) == 0)
		dir = arena_strdup(&a, temporary && *temporary ? temporary : "/tmp");
	else
		dir = slash ? arena_printf(&a, "%.*s", (int)(slash - path) + 1, path) : arena_strdup(&a, ".");
	if (dir)
		fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	name = dir && fd < 0 ? arena_printf(&a, "%s/.tamis-XXXXXX", dir) : NULL;
	if (name) {
		fd = mkostemp(name, O_CLOEXEC);
		if (fd >= 0)
			unlink(name);
	}
	if (!dir || (fd < 0 && !name))
		errno = ENOMEM;
	arena_free(&a);
	return fd;
}

static enum tamis_status need_spool(struct npz_writer *w, int *fd, struct tamis_error *err)
{
	enum tamis_status status;

	*fd = open_spool(w->out.file.path);
	if (*fd >= 0)
		return TAMIS_OK;
	status = errno == ENOMEM ? TAMIS_E_MEMORY : TAMIS_E_OUTPUT;
	tm_fail(err, status, "a temporary file for the output cannot be made: %m");
	tm_in_file(err, w->out.file.path);
	return status;
}

static enum tamis_status spool_write(struct npz_writer *w, int fd, const void *data, size_t size,
                                     struct tamis_error *err)
{
	struct file_writer spool = {.fd = fd, .path = w->out.file.path};

	return file_writer_write(&spool, data, size, err);
}

/* ---- one member: its header and elements as a run of blocks ---- */

struct content {
	const struct member *m;
	const uint8_t *data; /* NULL: in the spool */
	uint64_t at, size;   /* header included */
};

/* The next block: *bytes of them at *p; 0 at the end. */
static enum tamis_status next_block(struct npz_writer *w, struct content *c, const uint8_t **p, size_t *bytes,
                                    struct tamis_error *err)
{
	uint64_t left = c->size - c->at, in = c->at - c->m->header_bytes;
	enum tamis_status status = TAMIS_OK;

	*bytes = left < BLOCK ? (size_t)left : BLOCK;
	if (c->at < c->m->header_bytes) {
		*p = c->m->header + c->at;
		*bytes = c->m->header_bytes - (size_t)c->at;
	} else if (c->data) {
		*p = c->data + in;
	} else {
		*p = w->block;
		status = file_pread_exact(c->m->spool, w->block, *bytes, in, err);
	}
	c->at += *bytes;
	return status;
}

static enum tamis_status checksum(struct npz_writer *w, struct content c, struct member *m,
                                  struct tamis_error *err)
{
	uLong crc = crc32(0, NULL, 0);
	const uint8_t *p;
	size_t n;

	while (c.at < c.size) {
		enum tamis_status status = next_block(w, &c, &p, &n, err);

		if (status != TAMIS_OK)
			return status;
		crc = crc32_z(crc, p, n);
	}
	m->entry.crc = (uint32_t)crc;
	return TAMIS_OK;
}

/* Runs the deflater until it wants more input, or to the end of the stream when `flush` says so. */
static enum tamis_status drain(struct npz_writer *w, z_stream *z, int flush, int spool, uint64_t *packed,
                               struct tamis_error *err)
{
	int code = Z_OK;

	do {
		size_t n;
		enum tamis_status status;

		z->next_out = w->packed_block;
		z->avail_out = BLOCK;
		code = deflate(z, flush);
		n = BLOCK - z->avail_out;
		status = spool_write(w, spool, w->packed_block, n, err);
		if (status != TAMIS_OK)
			return status;
		*packed += n;
	} while (z->avail_out == 0 || (flush == Z_FINISH && code != Z_STREAM_END && code == Z_OK));
	return TAMIS_OK;
}

static enum tamis_status deflate_content(struct npz_writer *w, struct content c, int spool, uint64_t *packed,
                                         struct tamis_error *err)
{
	z_stream z = {0};
	enum tamis_status status = TAMIS_OK;

	if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return tm_no_memory(err, "compressing an array");
	while (c.at < c.size && status == TAMIS_OK) {
		const uint8_t *p;
		size_t n;

		status = next_block(w, &c, &p, &n, err);
		if (status != TAMIS_OK)
			break;
		z.next_in = (Bytef *)p;
		z.avail_in = (uInt)n;
		status = drain(w, &z, c.at == c.size ? Z_FINISH : Z_NO_FLUSH, spool, packed, err);
	}
	deflateEnd(&z);
	return status;
}

/* ---- writing members ---- */

static enum tamis_status emit_content(struct npz_writer *w, struct content c, struct tamis_error *err)
{
	while (c.at < c.size) {
		const uint8_t *p;
		size_t n;
		enum tamis_status status = next_block(w, &c, &p, &n, err);

		if (status == TAMIS_OK)
			status = zip_emit(&w->out, p, n, err);
		if (status != TAMIS_OK)
			return status;
	}
	return TAMIS_OK;
}

static enum tamis_status emit_deflated(struct npz_writer *w, struct content c, struct member *m,
                                       struct tamis_error *err)
{
	struct member packed = {.spool = -1};
	enum tamis_status status = need_spool(w, &packed.spool, err);

	if (status != TAMIS_OK)
		return status;
	status = deflate_content(w, c, packed.spool, &m->entry.packed, err);
	if (status == TAMIS_OK)
		status = zip_local_header(&w->out, &m->entry, err);
	if (status == TAMIS_OK)
		status = emit_content(w, (struct content){.m = &packed, .size = m->entry.packed}, err);
	close(packed.spool);
	return status;
}

static enum tamis_status emit_member(struct npz_writer *w, struct member *m, const void *data,
                                     struct tamis_error *err)
{
	struct content c = {.m = m, .data = data};
	enum tamis_status status;

	npy_format(&m->shape, m->header, sizeof m->header, &m->header_bytes);
	if (m->header_bytes == 0)
		return tm_fail(err, TAMIS_E_INTERNAL, "no .npy header could be made for an output");
	m->entry.plain = c.size = m->header_bytes + tensor_bytes(&m->shape);
	m->entry.offset = w->out.at;
	status = checksum(w, c, m, err);
	if (status != TAMIS_OK)
		return status;
	if (w->deflate)
		return emit_deflated(w, c, m, err);
	m->entry.packed = m->entry.plain;
	status = zip_local_header(&w->out, &m->entry, err);
	return status == TAMIS_OK ? emit_content(w, c, err) : status;
}

enum tamis_status npz_put(struct npz_writer *w, const char *name, const struct tensor *t,
                          struct tamis_error *err)
{
	struct tensor out;
	struct member *m;
	bool owned;
	enum tamis_status status;

	status = widen(t, &out, &owned, err);
	if (status == TAMIS_OK)
		status = add_member(w, name, &m, err);
	if (status == TAMIS_OK) {
		m->shape = out;
		m->shape.data = NULL;
		status = emit_member(w, m, out.data, err);
	}
	if (owned)
		free(out.data);
	if (status != TAMIS_OK)
		tm_in_tensor(err, name);
	return status;
}

static enum tamis_status start_growing(struct npz_writer *w, const char *name, const struct tensor *rows,
                                       struct member **m, struct tamis_error *err)
{
	enum tamis_status status = add_member(w, name, m, err);

	if (status != TAMIS_OK)
		return status;
	(*m)->grown = true;
	(*m)->shape = *rows;
	(*m)->shape.data = NULL;
	(*m)->shape.dims[0] = 0;
	(*m)->shape.count = 0;
	return need_spool(w, &(*m)->spool, err);
}

static enum tamis_status grow_member(struct npz_writer *w, struct member *m, const struct tensor *rows,
                                     struct tamis_error *err)
{
	struct tensor grown = m->shape;
	char was[128], came[128];
	int64_t dims[TENSOR_MAX_RANK];
	enum tamis_status status;

	memcpy(dims, rows->dims, sizeof dims);
	dims[0] = m->shape.dims[0];
	grown.dims[0] = rows->dims[0];
	if (rows->type != m->shape.type || !tensor_same_shape(&grown, rows))
		return tm_fail(err, TAMIS_E_INVALID, "the output has %s for some items and %s for others, which "
		               "cannot be stacked", tensor_describe(&grown, was, sizeof was),
		               tensor_describe(rows, came, sizeof came));
	if (!tm_add(dims[0], rows->dims[0], &dims[0]))
		return tm_fail(err, TAMIS_E_INVALID, "the number of rows of the output overflows");
	status = tensor_shape(&m->shape, rows->type, rows->rank, dims, err);
	return status == TAMIS_OK ? spool_write(w, m->spool, rows->data, tensor_bytes(rows), err) : status;
}

enum tamis_status npz_append(struct npz_writer *w, const char *name, const struct tensor *rows,
                             struct tamis_error *err)
{
	struct member *m = find_grown(w, name);
	struct tensor out;
	bool owned;
	enum tamis_status status;

	if (rows->rank < 1)
		return tm_fail(err, TAMIS_E_INVALID, "scalars cannot be stacked");
	status = widen(rows, &out, &owned, err);
	if (status == TAMIS_OK && !m)
		status = start_growing(w, name, &out, &m, err);
	if (status == TAMIS_OK)
		status = grow_member(w, m, &out, err);
	if (owned)
		free(out.data);
	if (status != TAMIS_OK)
		tm_in_tensor(err, name);
	return status;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum tamis_status check_names(const struct npz_writer *w, struct tamis_error *err)
{
	char **names = tm_array(w->n, sizeof *names);
	enum tamis_status status = TAMIS_OK;

	if (!names)
		return tm_no_memory(err, "writing arrays");
	for (size_t i = 0; i < w->n; i++)
		names[i] = w->members[i].entry.name;
	if (w->n > 1)
		qsort(names, w->n, sizeof *names, by_name);
	for (size_t i = 1; i < w->n && status == TAMIS_OK; i++)
		if (strcmp(names[i - 1], names[i]) == 0) {
			status = tm_fail(err, TAMIS_E_INVALID, "two arrays of the output have one name");
			tm_in_tensor(err, names[i]);
		}
	free(names);
	return status;
}

enum tamis_status npz_close(struct npz_writer *w, struct tamis_error *err)
{
	enum tamis_status status = check_names(w, err);
	uint64_t start;

	for (size_t i = 0; i < w->n && status == TAMIS_OK; i++)
		if (w->members[i].grown)
			status = emit_member(w, &w->members[i], NULL, err);
	start = w->out.at;
	for (size_t i = 0; i < w->n && status == TAMIS_OK; i++)
		status = zip_central_header(&w->out, &w->members[i].entry, err);
	if (status == TAMIS_OK)
		status = zip_end(&w->out, start, w->n, err);
	if (status == TAMIS_OK)
		status = file_writer_commit(&w->out.file, err);
	npz_abort(w);
	return status;
}
