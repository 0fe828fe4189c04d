/* SPDX-License-Identifier: Apache-2.0 */
#include "data/bytes.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

enum tamis_status open_regular(const char *path, int *fd, uint64_t *size, struct tamis_error *err)
{
	struct stat st;

	*fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (*fd < 0)
		return tm_fail(err, TAMIS_E_INVALID, "the file cannot be opened: %m");
	if (fstat(*fd, &st) == 0 && S_ISREG(st.st_mode)) {
		*size = (uint64_t)st.st_size;
		return TAMIS_OK;
	}
	close(*fd);
	*fd = -1;
	return tm_fail(err, TAMIS_E_INVALID, "a regular file was expected, and %s came",
	               S_ISDIR(st.st_mode) ? "a directory" : "a FIFO, socket or device");
}

enum tamis_status bytes_from_file(struct bytes *b, const char *path, struct tamis_error *err)
{
	enum tamis_status status;

	*b = (struct bytes){0};
	status = open_regular(path, &b->fd, &b->size, err);
	b->is_file = status == TAMIS_OK;
	return status;
}

void bytes_from_memory(struct bytes *b, uint8_t *memory, uint64_t size)
{
	*b = (struct bytes){.size = size, .memory = memory};
}

void bytes_from_lent(struct bytes *b, uint8_t *memory, uint64_t size)
{
	*b = (struct bytes){.size = size, .memory = memory, .lent = true};
}

void bytes_from_member(struct bytes *b, zip_t *zip, uint64_t index, uint64_t size, bool deflated)
{
	*b = (struct bytes){.size = size, .zip = zip, .index = index, .deflated = deflated};
}

static enum tamis_status member_failed(struct bytes *b, struct tamis_error *err)
{
	zip_error_t *e = b->member ? zip_file_get_error(b->member) : zip_get_error(b->zip);

	if (zip_error_code_zip(e) == ZIP_ER_MEMORY)
		return tm_no_memory(err, "reading a zip member");
	return tm_fail(err, TAMIS_E_INVALID, "the zip member is damaged: %s", zip_error_strerror(e));
}

/* libzip compares the checksum when it is asked for more than there is. */
static enum tamis_status verify_member_end(struct bytes *b, struct tamis_error *err)
{
	char extra;
	zip_int64_t n = zip_fread(b->member, &extra, 1);

	if (n < 0)
		return member_failed(b, err);
	return n == 0 ? TAMIS_OK : tm_fail(err, TAMIS_E_INVALID,
	                                   "the zip member is longer than its directory entry says");
}

static enum tamis_status read_member(struct bytes *b, char *buf, size_t n, struct tamis_error *err)
{
	if (!b->member)
		b->member = zip_fopen_index(b->zip, b->index, 0);
	if (!b->member)
		return member_failed(b, err);
	while (n > 0) {
		zip_int64_t got = zip_fread(b->member, buf, n);

		if (got < 0)
			return member_failed(b, err);
		if (got == 0)
			return tm_fail(err, TAMIS_E_INVALID, "the zip member is shorter than its directory entry says");
		buf += got;
		b->at += (uint64_t)got;
		n -= (size_t)got;
	}
	return b->at == b->size ? verify_member_end(b, err) : TAMIS_OK;
}

enum tamis_status bytes_read(struct bytes *b, void *buf, size_t n, struct tamis_error *err)
{
	enum tamis_status status = TAMIS_OK;

	if (n > b->size - b->at)
		return tm_fail(err, TAMIS_E_INVALID, "%zu further bytes were expected, and %llu are left", n,
		               (unsigned long long)(b->size - b->at));
	if (n == 0)
		return TAMIS_OK;
	if (b->zip)
		return read_member(b, buf, n, err);
	if (b->memory)
		memcpy(buf, b->memory + b->at, n);
	else
		status = file_pread_exact(b->fd, buf, n, b->at, err);
	b->at += n;
	return status;
}

static enum tamis_status skip_in_member(struct bytes *b, uint64_t offset, struct tamis_error *err)
{
	char buf[4096];

	if (offset < b->at) {
		zip_fclose(b->member);
		b->member = NULL;
		b->at = 0;
	}
	while (b->at < offset) {
		uint64_t left = offset - b->at;
		enum tamis_status status = read_member(b, buf, left < sizeof buf ? (size_t)left : sizeof buf, err);

		if (status != TAMIS_OK)
			return status;
	}
	return TAMIS_OK;
}

enum tamis_status bytes_seek(struct bytes *b, uint64_t offset, struct tamis_error *err)
{
	if (offset > b->size)
		return tm_fail(err, TAMIS_E_INVALID, "byte %llu was expected of %llu", (unsigned long long)offset,
		               (unsigned long long)b->size);
	if (b->zip)
		return skip_in_member(b, offset, err);
	b->at = offset;
	return TAMIS_OK;
}

void bytes_close(struct bytes *b)
{
	if (b->member)
		zip_fclose(b->member);
	else if (b->memory && !b->lent)
		free(b->memory);
	else if (b->is_file)
		close(b->fd);
	*b = (struct bytes){0};
}
