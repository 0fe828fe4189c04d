/* SPDX-License-Identifier: Apache-2.0 */
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int __real_open64(const char *path, int flags, mode_t mode);
int __real_openat64(int dir, const char *path, int flags, mode_t mode);
long __real_syscall(long number, long a, long b, long c, long d);
ssize_t __real_read(int fd, void *buf, size_t n);
ssize_t __real_pread64(int fd, void *buf, size_t n, off_t at);
ssize_t __real_write(int fd, const void *buf, size_t n);
int __real_fsync(int fd);
int __real_close(int fd);
int __real_rename(const char *from, const char *to);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_openat64(int dir, const char *path, int flags, ...);
long __wrap_syscall(long number, long a, long b, long c, long d);
ssize_t __wrap_read(int fd, void *buf, size_t n);
ssize_t __wrap_pread64(int fd, void *buf, size_t n, off_t at);
ssize_t __wrap_write(int fd, const void *buf, size_t n);
int __wrap_fsync(int fd);
int __wrap_close(int fd);
int __wrap_rename(const char *from, const char *to);

const char *const fault_names[FAULT_CALLS] = { "open", "read", "write", "fsync", "close", "rename" };

static struct fault fault;
static long *seen;
static void (*look)(const char *path, int flags);

void faults_watch(const struct fault *f, long *counts)
{
	fault = *f;
	seen = counts;
}

void faults_look(void (*at)(const char *path, int flags))
{
	look = at;
}

static void look_at(const char *path, int flags)
{
	if (look)
		look(path, flags);
}

/* Counts the call. Whether this is the one that goes wrong; a signal before it has come then. */
static bool strikes(enum fault_call call)
{
	if (!seen || ++seen[call] != fault.at || fault.call != call)
		return false;
	if (fault.kind == FAULT_BEFORE)
		raise(fault.number);
	return true;
}

static bool fails(bool struck)
{
	if (struck && fault.kind == FAULT_ERROR)
		errno = fault.number;
	return struck && fault.kind == FAULT_ERROR;
}

static size_t part(bool struck, size_t n)
{
	return struck && n > 1 && (fault.kind == FAULT_SHORT || fault.kind == FAULT_MIDDLE) ? n / 2 : n;
}

static void after(bool struck)
{
	if (struck && (fault.kind == FAULT_AFTER || fault.kind == FAULT_MIDDLE))
		raise(fault.number);
}

static mode_t mode_of(int flags, va_list rest)
{
	return flags & O_CREAT ? (mode_t)va_arg(rest, unsigned) : 0;
}

int __wrap_open64(const char *path, int flags, ...)
{
	bool struck = strikes(FAULT_OPEN);
	va_list rest;
	mode_t mode;
	int fd;

	va_start(rest, flags);
	mode = mode_of(flags, rest);
	va_end(rest);
	look_at(path, flags);
	if (fails(struck))
		return -1;
	fd = __real_open64(path, flags, mode);
	after(struck);
	return fd;
}

int __wrap_openat64(int dir, const char *path, int flags, ...)
{
	bool struck = strikes(FAULT_OPEN);
	va_list rest;
	mode_t mode;

	va_start(rest, flags);
	mode = mode_of(flags, rest);
	va_end(rest);
	look_at(path, flags);
	return fails(struck) ? -1 : __real_openat64(dir, path, flags, mode);
}

long __wrap_syscall(long number, long a, long b, long c, long d)
{
	bool struck = number == SYS_openat2 && strikes(FAULT_OPEN);

	if (number == SYS_openat2)
		look_at((const char *)b, (int)((const struct open_how *)c)->flags);
	return fails(struck) ? -1 : __real_syscall(number, a, b, c, d);
}

ssize_t __wrap_read(int fd, void *buf, size_t n)
{
	bool struck = strikes(FAULT_READ);

	return fails(struck) ? -1 : __real_read(fd, buf, part(struck, n));
}

ssize_t __wrap_pread64(int fd, void *buf, size_t n, off_t at)
{
	bool struck = strikes(FAULT_READ);

	return fails(struck) ? -1 : __real_pread64(fd, buf, part(struck, n), at);
}

ssize_t __wrap_write(int fd, const void *buf, size_t n)
{
	bool struck = strikes(FAULT_WRITE);
	ssize_t done;

	if (fails(struck))
		return -1;
	done = __real_write(fd, buf, part(struck, n));
	after(struck);
	return done;
}

int __wrap_fsync(int fd)
{
	bool struck = strikes(FAULT_FSYNC);
	int status;

	if (fails(struck))
		return -1;
	status = __real_fsync(fd);
	after(struck);
	return status;
}

/* Closes even when it fails, as Linux does. */
int __wrap_close(int fd)
{
	bool struck = strikes(FAULT_CLOSE);
	int status = __real_close(fd);

	after(struck);
	return fails(struck) ? -1 : status;
}

int __wrap_rename(const char *from, const char *to)
{
	bool struck = strikes(FAULT_RENAME);
	int status;

	if (fails(struck))
		return -1;
	status = __real_rename(from, to);
	after(struck);
	return status;
}
