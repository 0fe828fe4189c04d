/* SPDX-License-Identifier: Apache-2.0 */
/* A run of bytes of known length, read forwards and from the start again: a file, memory, or a member of a
 * zip. */
#ifndef DATA_BYTES_H
#define DATA_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zip.h>

#include "base/error.h"

struct bytes {
	uint64_t size, at;   /* in all, and read so far */
	bool is_file;
	int fd;              /* a file's */
	uint8_t *memory;     /* NULL otherwise */
	bool lent;           /* the memory is somebody else's */
	zip_t *zip;          /* a member; not owned */
	uint64_t index;
	bool deflated;
	zip_file_t *member;  /* opened at the first read */
};

/* A regular file. TAMIS_E_INVALID where there is none. bytes_close after success. */
enum tamis_status bytes_from_file(struct bytes *b, const char *path, struct tamis_error *err);
/* Takes ownership of malloc'ed memory. */
void bytes_from_memory(struct bytes *b, uint8_t *memory, uint64_t size);
/* The memory must outlive the bytes. */
void bytes_from_lent(struct bytes *b, uint8_t *memory, uint64_t size);
/* The zip must outlive the bytes. */
void bytes_from_member(struct bytes *b, zip_t *zip, uint64_t index, uint64_t size, bool deflated);

/* The next n bytes exactly; fewer is TAMIS_E_INVALID. With the last byte of a zip member its checksum is
 * verified. */
enum tamis_status bytes_read(struct bytes *b, void *buf, size_t n, struct tamis_error *err);

/* Makes `offset` the next byte: O(1), for a zip member O(offset) when it lies behind. */
enum tamis_status bytes_seek(struct bytes *b, uint64_t offset, struct tamis_error *err);

void bytes_close(struct bytes *b); /* zeroed and closed ones are fine */

/* A regular file opened for reading: the descriptor, and the size it has. */
enum tamis_status open_regular(const char *path, int *fd, uint64_t *size, struct tamis_error *err);

#endif
