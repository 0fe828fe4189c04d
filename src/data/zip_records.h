/* SPDX-License-Identifier: Apache-2.0 */
/* The records of a zip file being written (PKWARE APPNOTE 6.3.10): a header before each member, the directory at the
 * end. ZIP64 fields are used where a size, an offset or a count does not fit the classic ones. */
#ifndef DATA_ZIP_RECORDS_H
#define DATA_ZIP_RECORDS_H

#include "base/file.h"

struct zip_out {
	struct file_writer file;
	uint64_t at; /* bytes written */
};

struct zip_entry {
	char *name;           /* UTF-8, at most 60,000 bytes; ".npy" is appended where it is written */
	bool deflated;        /* else stored */
	uint32_t crc;         /* of the plain bytes */
	uint64_t offset;      /* of its local header */
	uint64_t plain, packed; /* sizes in bytes before and after compression */
};

/* All fail as file_writer_write does. */
enum tamis_status zip_emit(struct zip_out *out, const void *data, size_t size, struct tamis_error *err);
enum tamis_status zip_local_header(struct zip_out *out, const struct zip_entry *e, struct tamis_error *err);
enum tamis_status zip_central_header(struct zip_out *out, const struct zip_entry *e, struct tamis_error *err);
/* Closes a directory of n entries whose first header was written at `start`. */
enum tamis_status zip_end(struct zip_out *out, uint64_t start, uint64_t n, struct tamis_error *err);

#endif
