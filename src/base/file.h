/* SPDX-License-Identifier: Apache-2.0 */
/* Files: read one whole, open one safely below a directory, replace one atomically. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* Reads a regular file ("-" = standard input) of at most max_bytes whole. *data is malloc'ed, owned by the caller.
 * A directory, FIFO, device, missing or unreadable file is TAMIS_E_INVALID with the reason. EINTR and short reads
 * are handled. */
enum tamis_status file_read(const char *path, size_t max_bytes, uint8_t **data, size_t *size, struct tamis_error *err);

/* Opens `location` (external data) for reading below the directory of a model, by this rule: relative, no
 * "..", nothing that leaves the directory; a symbolic link is followed only while its real path stays under
 * `model_dir` or `real_dir` (the directory of the model's real path; NULL = same). Regular files only.
 * *fd is the caller's to close. */
enum tamis_status file_open_beneath(const char *model_dir, const char *real_dir, const char *location, int *fd,
                                    struct tamis_error *err);

/* Reads exactly `size` bytes at `offset`; a file that ends early is TAMIS_E_INVALID. */
enum tamis_status file_pread_exact(int fd, void *buf, size_t size, uint64_t offset, struct tamis_error *err);

/* A file being replaced: bytes go to a temporary in the same directory; commit syncs, renames and syncs the
 * directory; abort (or a failed commit) removes the temporary and leaves the old file. "-" writes to standard
 * output at once. Errors are TAMIS_E_OUTPUT naming the path. */
struct file_writer {
	int fd;
	char *path, *temp; /* temp NULL for standard output */
	bool replaced;     /* after commit: the output is the new file, even where syncing its directory failed */
};
enum tamis_status file_writer_open(struct file_writer *w, const char *path, struct tamis_error *err);
enum tamis_status file_writer_write(struct file_writer *w, const void *data, size_t size, struct tamis_error *err);
/* Syncs and closes the temporary, leaving it in place so that it can be read back before the commit. */
enum tamis_status file_writer_finish(struct file_writer *w, struct tamis_error *err);
enum tamis_status file_writer_commit(struct file_writer *w, struct tamis_error *err);
void file_writer_abort(struct file_writer *w); /* harmless after commit */

/* Removes the temporaries of writers now open: async-signal-safe, for a handler that ends the process. */
void file_remove_temporaries(void);

/* Same file on disk (device and inode)? False when either does not exist. */
bool file_same(const char *a, const char *b);

#endif
