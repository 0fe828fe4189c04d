/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/memory.h"

/* O_NONBLOCK: a FIFO must not hang the open; it has no effect on the regular files that are accepted. */
enum { READ_FLAGS = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY };

/* ---- reading ---- */

static enum tamis_status need_regular(int fd, struct stat *st, struct tamis_error *err)
{
	if (fstat(fd, st) != 0)
		return tm_fail(err, TAMIS_E_INVALID, "the file cannot be read: %m");
	if (S_ISDIR(st->st_mode))
		return tm_fail(err, TAMIS_E_INVALID, "a file was expected, and a directory came");
	if (!S_ISREG(st->st_mode))
		return tm_fail(err, TAMIS_E_INVALID, "a regular file was expected, and %s came",
		               S_ISFIFO(st->st_mode) ? "a FIFO" : S_ISSOCK(st->st_mode) ? "a socket" : "a device");
	return TAMIS_OK;
}

/* Up to `size` bytes, fewer only at the end of the file; -1 with errno. offset < 0 reads on where the file
 * stands. */
static ssize_t read_fully(int fd, uint8_t *buf, size_t size, off_t offset)
{
	size_t got = 0;

	while (got < size) {
		size_t want = size - got > SSIZE_MAX ? SSIZE_MAX : size - got;
		ssize_t n = offset < 0 ? read(fd, buf + got, want) : pread(fd, buf + got, want, offset + (off_t)got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) { /* a standard input that someone made non-blocking */
			poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, -1);
			continue;
		}
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

/* The size is a hint: the file is read to its end, whatever fstat said. */
static enum tamis_status read_to_end(int fd, size_t hint, size_t max_bytes, uint8_t **data, size_t *size,
                                     struct tamis_error *err)
{
	void *buf = NULL;
	size_t cap = 0, used = 0, want = hint < 65536 ? 65536 : hint + 1;
	ssize_t n;

	do {
		if (!tm_grow(&buf, &cap, want, 1)) {
			free(buf);
			return tm_no_memory(err, "reading a file");
		}
		n = read_fully(fd, (uint8_t *)buf + used, cap - used, -1);
		if (n < 0) {
			free(buf);
			return tm_fail(err, TAMIS_E_INVALID, "the file cannot be read: %m");
		}
		used += (size_t)n;
		want = cap + 1;
	} while (used == cap && used <= max_bytes);
	if (used > max_bytes) {
		free(buf);
		return tm_fail(err, TAMIS_E_INVALID, "the file is longer than the %zu bytes that are accepted",
		               max_bytes);
	}
	*data = buf;
	*size = used;
	return TAMIS_OK;
}

static enum tamis_status read_regular(const char *path, size_t max_bytes, uint8_t **data, size_t *size,
                                      struct tamis_error *err)
{
	struct stat st;
	enum tamis_status status;
	int fd = open(path, READ_FLAGS);

	if (fd < 0)
		return tm_fail(err, TAMIS_E_INVALID, "the file cannot be opened: %m");
	status = need_regular(fd, &st, err);
	if (status == TAMIS_OK && (uint64_t)st.st_size > max_bytes)
		status = tm_fail(err, TAMIS_E_INVALID, "the file has %lld bytes, and at most %zu are accepted",
		                 (long long)st.st_size, max_bytes);
	if (status == TAMIS_OK)
		status = read_to_end(fd, (size_t)st.st_size, max_bytes, data, size, err);
	close(fd);
	return status;
}

enum tamis_status file_read(const char *path, size_t max_bytes, uint8_t **data, size_t *size,
                            struct tamis_error *err)
{
	enum tamis_status status;

	*data = NULL;
	*size = 0;
	if (strcmp(path, "-") == 0)
		status = read_to_end(STDIN_FILENO, 0, max_bytes, data, size, err);
	else
		status = read_regular(path, max_bytes, data, size, err);
	if (status != TAMIS_OK)
		tm_in_file(err, path);
	return status;
}

enum tamis_status file_pread_exact(int fd, void *buf, size_t size, uint64_t offset, struct tamis_error *err)
{
	uint64_t end;
	ssize_t n;

	if (!tm_add(offset, size, &end) || end > INT64_MAX)
		return tm_fail(err, TAMIS_E_INVALID, "%zu bytes at offset %llu lie beyond the end of any file", size,
		               (unsigned long long)offset);
	n = read_fully(fd, buf, size, (off_t)offset);
	if (n < 0)
		return tm_fail(err, TAMIS_E_INVALID, "the file cannot be read: %m");
	if ((size_t)n < size)
		return tm_fail(err, TAMIS_E_INVALID, "the file ends %zu bytes into the %zu expected at offset %llu",
		               (size_t)n, size, (unsigned long long)offset);
	return TAMIS_OK;
}

/* ---- opening below a directory ---- */

static const char *location_fault(const char *location)
{
	if (location[0] == '\0')
		return "is empty";
	if (location[0] == '/')
		return "is an absolute path";
	for (const char *p = location; p; p = strchr(p, '/')) {
		p += *p == '/';
		if (strncmp(p, "..", 2) == 0 && (p[2] == '/' || p[2] == '\0'))
			return "has a '..' component";
	}
	return NULL;
}

/* One path component after another without following any link; -1 with errno ELOOP at a link. */
static int walk_beneath(int dir, const char *location)
{
	char part[NAME_MAX + 1];
	int at = dup(dir);

	while (at >= 0) {
		size_t len = strcspn(location, "/");
		const char *rest = location + len + strspn(location + len, "/");
		struct stat st;
		int next = -1;

		if (len > NAME_MAX) {
			errno = ENAMETOOLONG;
		} else {
			memcpy(part, location, len);
			part[len] = '\0';
			next = openat(at, part, O_NOFOLLOW | (*rest ? O_PATH | O_CLOEXEC : READ_FLAGS));
		}
		if (next >= 0 && *rest && fstat(next, &st) == 0 && S_ISLNK(st.st_mode)) {
			close(next);
			next = -1;
			errno = ELOOP;
		}
		int saved = errno;
		close(at);
		errno = saved;
		if (next < 0 || !*rest)
			return next;
		at = next;
		location = rest;
	}
	return -1;
}

/* The kernel resolves the path in one step, following links only below `dir`; EXDEV when one leads out. */
static int resolve_beneath(int dir, const char *location, uint64_t resolve)
{
	struct open_how how = {.flags = READ_FLAGS, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | resolve};
	long fd;

	for (int tries = 0; tries < 32; tries++) { /* EAGAIN: the tree was renamed under the resolution */
		fd = syscall(SYS_openat2, dir, location, &how, sizeof how);
		if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
			break;
	}
	if (fd < 0 && (errno == ENOSYS || errno == EPERM || errno == E2BIG))
		return walk_beneath(dir, location);
	return (int)fd;
}

static int open_directory(const char *path)
{
	return open(*path ? path : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* The part of `path` below `root`, both canonical; NULL when it is not below. */
static const char *part_below(const char *path, const char *root)
{
	size_t len = strlen(root);

	if (strcmp(root, "/") == 0)
		return path[1] ? path + 1 : NULL;
	return strncmp(path, root, len) == 0 && path[len] == '/' && path[len + 1] ? path + len + 1 : NULL;
}

/* Opens a canonical path if it lies below the directory: no link is left in it, so none is followed. */
static int open_real_below(const char *real, const char *dir)
{
	char *root = realpath(*dir ? dir : ".", NULL);
	const char *part = root ? part_below(real, root) : NULL;
	int at = part ? open_directory(root) : -1, fd = -1;

	if (at >= 0) {
		fd = resolve_beneath(at, part, RESOLVE_NO_SYMLINKS);
		close(at);
	}
	free(root);
	return fd;
}

/* The layout of model caches: links in a snapshot directory that lead to a shared directory of contents. */
static int open_linked(const char *model_dir, const char *real_dir, const char *location)
{
	struct arena a = {0};
	char *path = arena_printf(&a, "%s/%s", *model_dir ? model_dir : ".", location);
	char *real = path ? realpath(path, NULL) : NULL;
	int fd = -1;

	if (real)
		fd = open_real_below(real, model_dir);
	if (real && fd < 0 && real_dir)
		fd = open_real_below(real, real_dir);
	free(real);
	arena_free(&a);
	return fd;
}

static enum tamis_status open_location(const char *model_dir, const char *real_dir, const char *location,
                                       int *fd, struct tamis_error *err)
{
	int dir = open_directory(model_dir);
	bool linked;

	if (dir < 0)
		return tm_fail(err, TAMIS_E_INVALID, "the directory of the model cannot be opened: %m");
	*fd = resolve_beneath(dir, location, 0);
	linked = *fd < 0 && (errno == EXDEV || errno == ELOOP);
	if (*fd < 0 && !linked)
		tm_fail(err, TAMIS_E_INVALID, "the external data cannot be opened: %m");
	close(dir);
	if (linked)
		*fd = open_linked(model_dir, real_dir, location);
	if (*fd < 0)
		return tm_fail(err, TAMIS_E_INVALID, "the external data is a link that leads to nothing or out of "
		               "the directory of the model");
	return TAMIS_OK;
}

enum tamis_status file_open_beneath(const char *model_dir, const char *real_dir, const char *location,
                                    int *fd, struct tamis_error *err)
{
	const char *fault = location_fault(location);
	enum tamis_status status;
	struct stat st;

	*fd = -1;
	if (fault) {
		tm_fail(err, TAMIS_E_INVALID, "the location of external data must be a path below the directory of "
		        "the model; this one %s", fault);
		tm_in_file(err, location);
		return TAMIS_E_INVALID;
	}
	status = open_location(model_dir, real_dir, location, fd, err);
	if (status == TAMIS_OK)
		status = need_regular(*fd, &st, err);
	if (status != TAMIS_OK) {
		if (*fd >= 0)
			close(*fd);
		*fd = -1;
		tm_in_file(err, location);
	}
	return status;
}

/* ---- replacing ---- */

/* Names of the temporaries now on disk, kept where a signal handler may read them: the one thing in the
 * library that belongs to the process. A slot is filled before its state says so and emptied after. */
enum { SLOTS = 64, SLOT_FREE = 0, SLOT_BUSY, SLOT_LIVE };
static struct {
	_Atomic int state;
	char path[PATH_MAX];
} temporaries[SLOTS];

static bool register_temporary(const char *path)
{
	for (int i = 0; i < SLOTS; i++) {
		int expected = SLOT_FREE;

		if (!atomic_compare_exchange_strong(&temporaries[i].state, &expected, SLOT_BUSY))
			continue;
		snprintf(temporaries[i].path, PATH_MAX, "%s", path);
		atomic_store(&temporaries[i].state, SLOT_LIVE);
		return true;
	}
	return false;
}

static void forget_temporary(const char *path)
{
	for (int i = 0; i < SLOTS; i++)
		if (atomic_load(&temporaries[i].state) == SLOT_LIVE && strcmp(temporaries[i].path, path) == 0) {
			atomic_store(&temporaries[i].state, SLOT_FREE);
			return;
		}
}

void file_remove_temporaries(void)
{
	int saved = errno;

	for (int i = 0; i < SLOTS; i++)
		if (atomic_load(&temporaries[i].state) == SLOT_LIVE)
			unlink(temporaries[i].path);
	errno = saved;
}

static enum tamis_status output_failed(const char *path, const char *what, struct tamis_error *err)
{
	enum tamis_status status = errno == ENOMEM ? TAMIS_E_MEMORY : TAMIS_E_OUTPUT;

	tm_fail(err, status, "%s failed: %m", what);
	tm_in_file(err, path);
	return status;
}

static size_t directory_length(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? (size_t)(slash - path) + 1 : 0;
}

/* A name that no other writer takes. An old file's permissions are kept; a new one gets the umask's. */
static int create_temporary(struct file_writer *w, const struct stat *old)
{
	size_t dir = directory_length(w->path), size = dir + 32;
	uint64_t word;
	int fd = -1;

	w->temp = malloc(size);
	if (!w->temp || size >= PATH_MAX) {
		errno = w->temp ? ENAMETOOLONG : ENOMEM;
		return -1;
	}
	for (int tries = 0; tries < 16 && fd < 0; tries++) {
		if (getrandom(&word, sizeof word, 0) != sizeof word)
			return -1;
		snprintf(w->temp, size, "%.*s.tamis-%016llx", (int)dir, w->path, (unsigned long long)word);
		if (!register_temporary(w->temp)) {
			errno = EMFILE;
			return -1;
		}
		fd = open(w->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
		if (fd < 0)
			forget_temporary(w->temp);
		if (fd < 0 && errno != EEXIST && errno != EINTR)
			return -1;
	}
	if (fd >= 0 && old && fchmod(fd, old->st_mode & 0777) != 0)
		errno = 0; /* the new file then has the permissions of a new file */
	return fd;
}

static bool is_standard_output(const struct file_writer *w)
{
	return strcmp(w->path, "-") == 0;
}

static void release(struct file_writer *w)
{
	free(w->path);
	free(w->temp);
	*w = (struct file_writer){.fd = -1, .replaced = w->replaced};
}

/* A device or FIFO is written straight through: it cannot be replaced by renaming. */
enum tamis_status file_writer_open(struct file_writer *w, const char *path, struct tamis_error *err)
{
	struct stat st;
	bool exists;

	*w = (struct file_writer){.fd = -1, .path = tm_strdup(path)};
	if (!w->path)
		return tm_no_memory(err, "opening an output");
	if (is_standard_output(w)) {
		w->fd = STDOUT_FILENO;
		return TAMIS_OK;
	}
	exists = stat(path, &st) == 0;
	if (exists && S_ISDIR(st.st_mode))
		errno = EISDIR;
	else if (exists && !S_ISREG(st.st_mode))
		w->fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	else
		w->fd = create_temporary(w, exists ? &st : NULL);
	if (w->fd < 0) {
		enum tamis_status status = output_failed(path, "opening the output", err);

		release(w);
		return status;
	}
	return TAMIS_OK;
}

enum tamis_status file_writer_write(struct file_writer *w, const void *data, size_t size,
                                    struct tamis_error *err)
{
	const char *p = data;

	while (size > 0) {
		ssize_t n = write(w->fd, p, size > SSIZE_MAX ? SSIZE_MAX : size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			poll(&(struct pollfd){.fd = w->fd, .events = POLLOUT}, 1, -1);
			continue;
		}
		if (n == 0)
			errno = EIO;
		if (n <= 0)
			return output_failed(w->path, "writing the output", err);
		p += n;
		size -= (size_t)n;
	}
	return TAMIS_OK;
}

/* Devices, pipes and some file systems cannot sync; that is no failure. */
static bool sync_failed(int fd)
{
	int status;

	do
		status = fsync(fd);
	while (status != 0 && errno == EINTR);
	return status != 0 && errno != EINVAL && errno != EROFS && errno != ENOTSUP;
}

enum tamis_status file_writer_finish(struct file_writer *w, struct tamis_error *err)
{
	int fd = w->fd;

	if (fd < 0)
		return TAMIS_OK;
	if (sync_failed(fd))
		return output_failed(w->path, "syncing the output", err);
	if (is_standard_output(w))
		return TAMIS_OK;
	w->fd = -1; /* closed even where close reports an error */
	if (close(fd) != 0 && errno != EINTR)
		return output_failed(w->path, "closing the output", err);
	return TAMIS_OK;
}

static enum tamis_status sync_directory(const char *path, struct tamis_error *err)
{
	size_t len = directory_length(path);
	char *dir = len ? strndup(path, len) : tm_strdup(".");
	int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	enum tamis_status status = TAMIS_OK;

	if (!dir)
		status = tm_no_memory(err, "syncing a directory");
	free(dir);
	if (fd < 0)
		return status; /* a directory that may be written but not read cannot be synced */
	if (sync_failed(fd))
		status = output_failed(path, "syncing the directory of the output", err);
	close(fd);
	return status;
}

enum tamis_status file_writer_commit(struct file_writer *w, struct tamis_error *err)
{
	enum tamis_status status;

	if (!w->path)
		return tm_fail(err, TAMIS_E_INTERNAL, "an output was committed that is not open");
	status = file_writer_finish(w, err);
	if (status == TAMIS_OK && w->temp && rename(w->temp, w->path) != 0)
		status = output_failed(w->path, "renaming the output into place", err);
	if (status == TAMIS_OK && w->temp) {
		forget_temporary(w->temp);
		w->replaced = true;
		status = sync_directory(w->path, err);
		free(w->temp);
		w->temp = NULL;
	}
	file_writer_abort(w);
	return status;
}

void file_writer_abort(struct file_writer *w)
{
	if (!w->path)
		return;
	if (w->fd >= 0 && !is_standard_output(w))
		close(w->fd);
	if (w->temp) {
		unlink(w->temp);
		forget_temporary(w->temp);
	}
	release(w);
}

bool file_same(const char *a, const char *b)
{
	struct stat x, y;

	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}
