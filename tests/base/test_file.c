/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"

static char root[64];

static void enter(void)
{
	snprintf(root, sizeof root, "/tmp/tamis-file-XXXXXX");
	cr_assert_not_null(mkdtemp(root));
	cr_assert_eq(chdir(root), 0);
}

static void leave(void)
{
	char command[192];

	cr_assert_eq(chdir("/"), 0);
	snprintf(command, sizeof command, "chmod -R u+rwx %s; rm -rf %s", root, root);
	cr_assert_eq(system(command), 0);
}

TestSuite(read, .init = enter, .fini = leave);
TestSuite(beneath, .init = enter, .fini = leave);
TestSuite(writer, .init = enter, .fini = leave);

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	cr_assert_not_null(f, "%s", path);
	fputs(text, f);
	fclose(f);
}

static int holds(const char *path, const char *text)
{
	uint8_t *data = NULL;
	size_t size = 0;
	int same = file_read(path, 1 << 20, &data, &size, NULL) == TAMIS_OK && size == strlen(text) &&
		memcmp(data, text, size) == 0;

	free(data);
	return same;
}

static int entries(const char *dir)
{
	DIR *d = opendir(dir);
	int n = -2; /* . and .. */

	cr_assert_not_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

Test(read, whole_files_of_any_length)
{
	for (size_t n = 0; n < 300000; n = n * 3 + 1) {
		char *text = malloc(n + 1);

		memset(text, 'a', n);
		text[n] = '\0';
		put("x", text);
		cr_assert(holds("x", text), "%zu bytes", n);
		free(text);
	}
}

Test(read, the_limit_is_exact)
{
	struct tamis_error e = {0};
	uint8_t *data;
	size_t size;

	put("x", "12345");
	cr_assert_eq(file_read("x", 5, &data, &size, NULL), TAMIS_OK);
	free(data);
	cr_assert_eq(file_read("x", 4, &data, &size, &e), TAMIS_E_INVALID);
	cr_assert(data == NULL && size == 0);
	cr_assert_str_eq(e.file, "x");
}

Test(read, what_is_no_regular_file_is_refused_with_the_reason)
{
	static const struct { const char *path, *word; } cases[] = {
		{".", "directory"}, {"fifo", "FIFO"}, {"/dev/zero", "device"}, {"missing", "No such file"},
		{"missing/x", "No such file"}, {"x/y", "Not a directory"}, {"loop", "symbolic links"}, {"", "No such file"},
	};

	put("x", "");
	cr_assert_eq(mkfifo("fifo", 0600), 0);
	cr_assert_eq(symlink("loop", "loop"), 0);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct tamis_error e = {0};
		uint8_t *data;
		size_t size;

		cr_assert_eq(file_read(cases[i].path, 100, &data, &size, &e), TAMIS_E_INVALID, "%s", cases[i].path);
		cr_assert_not_null(strstr(e.message, cases[i].word), "%s: %s", cases[i].path, e.message);
	}
}

Test(read, standard_input_in_pieces)
{
	int ends[2], saved = dup(0);
	uint8_t *data;
	size_t size;

	cr_assert_eq(pipe(ends), 0);
	if (fork() == 0) {
		static char block[1000];

		for (int i = 0; i < 500; i++)
			if (write(ends[1], block, sizeof block) < 0)
				_exit(1);
		_exit(0);
	}
	close(ends[1]);
	dup2(ends[0], 0);
	cr_assert_eq(file_read("-", 1 << 20, &data, &size, NULL), TAMIS_OK);
	cr_assert_eq(size, 500000);
	free(data);
	wait(NULL);
	cr_assert_eq(file_read("-", 1 << 20, &data, &size, NULL), TAMIS_OK);
	cr_assert_eq(size, 0);
	free(data);
	dup2(saved, 0);
}

Test(read, pread_needs_every_byte)
{
	char buf[8] = "";
	struct tamis_error e = {0};
	int fd;

	put("x", "0123456789");
	fd = open("x", O_RDONLY);
	cr_assert_eq(file_pread_exact(fd, buf, 4, 3, NULL), TAMIS_OK);
	cr_assert_eq(memcmp(buf, "3456", 4), 0);
	cr_assert_eq(file_pread_exact(fd, buf, 4, 6, NULL), TAMIS_OK);
	cr_assert_eq(file_pread_exact(fd, buf, 0, 10, NULL), TAMIS_OK);
	cr_assert_eq(file_pread_exact(fd, buf, 4, 7, &e), TAMIS_E_INVALID);
	cr_assert_not_null(strstr(e.message, "ends 3 bytes into the 4"), "%s", e.message);
	cr_assert_eq(file_pread_exact(fd, buf, 4, UINT64_MAX, NULL), TAMIS_E_INVALID);
	cr_assert_eq(file_pread_exact(fd, buf, 4, (uint64_t)INT64_MAX - 2, NULL), TAMIS_E_INVALID);
	close(fd);
	cr_assert_eq(file_pread_exact(fd, buf, 4, 0, NULL), TAMIS_E_INVALID);
}

/* A model in its directory, data beside it and below it, a secret outside, and a cache laid out as links:
 *     models/{data, sub/data, inner -> sub/data, subdir -> sub, absolute -> ROOT/models/data,
 *             escape -> ../secret, out -> .., dangling -> nowhere, fifo, sub/}
 *     cache/blobs/{m, d}   cache/snapshots/1/{model.onnx -> ../../blobs/m, data -> ../../blobs/d, bad -> ../../../secret} */
static void furnish(void)
{
	char target[128];

	cr_assert_eq(mkdir("models", 0700) | mkdir("models/sub", 0700) | mkdir("cache", 0700), 0);
	cr_assert_eq(mkdir("cache/blobs", 0700) | mkdir("cache/snapshots", 0700) | mkdir("cache/snapshots/1", 0700), 0);
	put("models/data", "data");
	put("models/sub/data", "deep");
	put("secret", "secret");
	put("cache/blobs/m", "model");
	put("cache/blobs/d", "blob");
	snprintf(target, sizeof target, "%s/models/data", root);
	cr_assert_eq(symlink("sub/data", "models/inner") | symlink("sub", "models/subdir"), 0);
	cr_assert_eq(symlink(target, "models/absolute") | symlink("../secret", "models/escape"), 0);
	cr_assert_eq(symlink("..", "models/out") | symlink("nowhere", "models/dangling"), 0);
	cr_assert_eq(symlink("/etc/passwd", "models/passwd") | mkfifo("models/fifo", 0600), 0);
	cr_assert_eq(symlink("../fifo", "models/sub/fifo") | symlink("self", "models/self"), 0);
	cr_assert_eq(symlink("../../blobs/m", "cache/snapshots/1/model.onnx"), 0);
	cr_assert_eq(symlink("../../blobs/d", "cache/snapshots/1/data"), 0);
	cr_assert_eq(symlink("../../../secret", "cache/snapshots/1/bad"), 0);
	cr_assert_eq(mkdir("models2", 0700), 0);
	put("models2/data", "a directory whose name starts alike");
	cr_assert_eq(symlink("../models2/data", "models/alike"), 0);
}

static int opens_as(const char *dir, const char *real, const char *location, const char *text)
{
	char buf[16] = "";
	int fd;

	if (file_open_beneath(dir, real, location, &fd, NULL) != TAMIS_OK)
		return 0;
	cr_assert_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	cr_assert(read(fd, buf, sizeof buf - 1) >= 0);
	close(fd);
	return strcmp(buf, text) == 0;
}

static int refused(const char *dir, const char *real, const char *location)
{
	struct tamis_error e = {0};
	int fd = 5;

	return file_open_beneath(dir, real, location, &fd, &e) == TAMIS_E_INVALID && fd == -1 && e.message[0];
}

static void check_rules(void)
{
	static const char *const refusals[] = {
		"", "/etc/passwd", "..", "../secret", "sub/../data", "sub/..", "a/../../x", "./../secret", "missing", "sub", ".",
		"escape", "out/secret", "dangling", "passwd", "fifo", "sub/fifo", "self", "data/x", "alike", "sub/missing",
	};
	char absolute[128], blobs[128];

	furnish();
	snprintf(absolute, sizeof absolute, "%s/models", root);
	snprintf(blobs, sizeof blobs, "%s/cache/blobs", root);
	for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
		cr_expect(refused("models", NULL, refusals[i]), "'%s' was opened", refusals[i]);
		cr_expect(refused(absolute, absolute, refusals[i]), "'%s' was opened", refusals[i]);
	}
	cr_expect(opens_as("models", NULL, "data", "data"));
	cr_expect(opens_as("models", NULL, "./data", "data"));
	cr_expect(opens_as("models", NULL, "sub//data", "deep"));
	cr_expect(opens_as("models", NULL, "inner", "deep"));
	cr_expect(opens_as("models", NULL, "subdir/data", "deep"));
	cr_expect(opens_as("models", NULL, "absolute", "data"));
	cr_expect(opens_as("cache/snapshots/1", blobs, "data", "blob"));
	cr_expect(refused("cache/snapshots/1", NULL, "data"));
	cr_expect(refused("cache/snapshots/1", blobs, "bad"));
	cr_expect(refused("nowhere", NULL, "data"));
	cr_assert_eq(chdir("models"), 0);
	cr_expect(opens_as("", NULL, "data", "data"));
	cr_expect(opens_as(".", ".", "inner", "deep"));
	cr_expect(refused("", NULL, "escape"));
}

Test(beneath, the_rules_hold)
{
	check_rules();
}

/* The same without openat2, as on a kernel before 5.6: a filter makes the call report ENOSYS. */
Test(beneath, the_rules_hold_without_openat2)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = 4, .filter = code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		cr_skip_test("no seccomp here");
	cr_assert_eq(syscall(SYS_openat2, AT_FDCWD, ".", NULL, 0), -1);
	cr_assert_eq(errno, ENOSYS);
	check_rules();
}

Test(beneath, descriptors_do_not_leak)
{
	int before, after, fd;

	check_rules();
	before = dup(0);
	for (int i = 0; i < 50; i++) {
		file_open_beneath(".", NULL, "escape", &fd, NULL);
		file_open_beneath(".", NULL, "fifo", &fd, NULL);
		file_open_beneath(".", NULL, "missing", &fd, NULL);
	}
	after = dup(0);
	cr_assert_eq(after, before + 1);
}

Test(writer, commit_replaces_and_abort_leaves)
{
	struct file_writer w;

	put("out", "old");
	cr_assert_eq(file_writer_open(&w, "out", NULL), TAMIS_OK);
	cr_assert_eq(file_writer_write(&w, "ne", 2, NULL), TAMIS_OK);
	cr_assert_eq(file_writer_write(&w, "w", 1, NULL), TAMIS_OK);
	cr_assert(holds("out", "old"));
	cr_assert_eq(entries("."), 2);
	file_writer_abort(&w);
	cr_assert(holds("out", "old"));
	cr_assert_eq(entries("."), 1);
	file_writer_abort(&w);

	cr_assert_eq(file_writer_open(&w, "out", NULL), TAMIS_OK);
	cr_assert_eq(file_writer_write(&w, "new", 3, NULL), TAMIS_OK);
	cr_assert_eq(file_writer_finish(&w, NULL), TAMIS_OK);
	cr_assert(holds(w.temp, "new"));
	cr_assert(holds("out", "old"));
	cr_assert_eq(file_writer_commit(&w, NULL), TAMIS_OK);
	cr_assert(holds("out", "new"));
	cr_assert_eq(entries("."), 1);
	file_writer_abort(&w);
	cr_assert(holds("out", "new"));
	cr_assert_eq(file_writer_commit(&w, NULL), TAMIS_E_INTERNAL);
}

Test(writer, aborting_what_was_never_opened_is_harmless)
{
	struct file_writer w = {0};

	file_writer_abort(&w);
	cr_assert_neq(fcntl(0, F_GETFD), -1);
}

Test(writer, permissions_follow_the_old_file_or_the_umask)
{
	struct file_writer w;
	struct stat st;

	put("old", "");
	chmod("old", 0604);
	umask(077);
	cr_assert_eq(file_writer_open(&w, "old", NULL) | file_writer_commit(&w, NULL), TAMIS_OK);
	cr_assert_eq(file_writer_open(&w, "new", NULL) | file_writer_commit(&w, NULL), TAMIS_OK);
	stat("old", &st);
	cr_assert_eq(st.st_mode & 0777, 0604);
	stat("new", &st);
	cr_assert_eq(st.st_mode & 0777, 0600);
}

Test(writer, unwritable_places_are_output_errors)
{
	static const char *const places[] = {"missing/out", ".", "plain/out", "/proc/out"};

	put("plain", "");
	for (size_t i = 0; i < 4; i++) {
		struct tamis_error e = {0};
		struct file_writer w;

		cr_assert_eq(file_writer_open(&w, places[i], &e), TAMIS_E_OUTPUT, "%s", places[i]);
		cr_assert_str_eq(e.file, places[i]);
		file_writer_abort(&w);
	}
	if (geteuid() != 0) {
		struct file_writer w;

		cr_assert_eq(mkdir("locked", 0500), 0);
		cr_assert_eq(file_writer_open(&w, "locked/out", NULL), TAMIS_E_OUTPUT);
	}
	cr_assert_eq(entries("."), geteuid() == 0 ? 1 : 2);
}

Test(writer, a_full_device_is_an_output_error_and_stays_a_device)
{
	struct tamis_error e = {0};
	struct file_writer w;
	struct stat st;

	cr_assert_eq(file_writer_open(&w, "/dev/full", &e), TAMIS_OK);
	cr_assert_eq(file_writer_write(&w, "x", 1, &e), TAMIS_E_OUTPUT);
	cr_assert_str_eq(e.file, "/dev/full");
	cr_assert_not_null(strstr(e.message, "No space"), "%s", e.message);
	file_writer_abort(&w);
	stat("/dev/full", &st);
	cr_assert(S_ISCHR(st.st_mode));
}

/* The file-size limit stands for a full disk: the temporary goes, the old file stays. */
Test(writer, a_full_disk_leaves_the_old_file)
{
	static char block[65536];
	struct rlimit limit = {100000, 100000};
	struct file_writer w;

	put("out", "old");
	signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	cr_assert_eq(file_writer_open(&w, "out", NULL), TAMIS_OK);
	cr_assert_eq(file_writer_write(&w, block, sizeof block, NULL), TAMIS_OK);
	cr_assert_eq(file_writer_write(&w, block, sizeof block, NULL), TAMIS_E_OUTPUT);
	file_writer_abort(&w);
	cr_assert(holds("out", "old"));
	cr_assert_eq(entries("."), 1);
}

Test(writer, a_failed_commit_removes_the_temporary)
{
	struct file_writer w;

	cr_assert_eq(file_writer_open(&w, "out", NULL), TAMIS_OK);
	cr_assert_eq(mkdir("out", 0700), 0); /* now the name cannot be renamed onto */
	cr_assert_eq(file_writer_commit(&w, NULL), TAMIS_E_OUTPUT);
	cr_assert_eq(entries("."), 1);
}

Test(writer, a_link_is_replaced_and_its_target_left)
{
	struct file_writer w;

	put("target", "old");
	cr_assert_eq(symlink("target", "link"), 0);
	cr_assert_eq(file_writer_open(&w, "link", NULL), TAMIS_OK);
	cr_assert_eq(file_writer_write(&w, "new", 3, NULL), TAMIS_OK);
	cr_assert_eq(file_writer_commit(&w, NULL), TAMIS_OK);
	cr_assert(holds("target", "old") && holds("link", "new"));
}

Test(writer, standard_output_is_written_at_once)
{
	int ends[2], saved = dup(1);
	struct file_writer w;
	char buf[8] = "";

	cr_assert_eq(pipe(ends), 0);
	dup2(ends[1], 1);
	cr_assert_eq(file_writer_open(&w, "-", NULL), TAMIS_OK);
	cr_assert_null(w.temp);
	cr_assert_eq(file_writer_write(&w, "hello", 5, NULL), TAMIS_OK);
	cr_assert_eq(read(ends[0], buf, 7), 5);
	cr_assert_eq(file_writer_commit(&w, NULL), TAMIS_OK);
	cr_assert_neq(fcntl(1, F_GETFD), -1, "standard output was closed");
	close(1);
	cr_assert_eq(file_writer_open(&w, "-", NULL), TAMIS_OK);
	enum tamis_status status = file_writer_write(&w, "x", 1, NULL);
	file_writer_abort(&w);
	dup2(saved, 1);
	cr_assert_eq(status, TAMIS_E_OUTPUT);
}

/* With standard output closed a temporary may get descriptor 1: it must be closed all the same. */
Test(writer, descriptor_one_is_not_special)
{
	int saved = dup(1);
	struct file_writer w;

	close(1);
	cr_assert_eq(file_writer_open(&w, "out", NULL), TAMIS_OK);
	int fd = w.fd;
	enum tamis_status status = file_writer_write(&w, "x", 1, NULL);
	if (status == TAMIS_OK)
		status = file_writer_commit(&w, NULL);
	int closed = fcntl(1, F_GETFD) == -1;
	dup2(saved, 1);
	cr_assert_eq(fd, 1);
	cr_assert_eq(status, TAMIS_OK);
	cr_assert(closed);
	cr_assert(holds("out", "x"));
}

static void on_signal(int number)
{
	(void)number;
	file_remove_temporaries();
	_exit(9);
}

Test(writer, a_signal_handler_removes_every_temporary)
{
	struct file_writer w[3];
	int status;
	pid_t child;

	put("b", "old");
	child = fork();
	if (child == 0) {
		signal(SIGTERM, on_signal);
		if (file_writer_open(&w[0], "a", NULL) || file_writer_open(&w[1], "b", NULL) ||
		    file_writer_open(&w[2], "c", NULL) || file_writer_write(&w[1], "x", 1, NULL) ||
		    file_writer_commit(&w[2], NULL))
			_exit(1);
		raise(SIGTERM);
		_exit(2);
	}
	waitpid(child, &status, 0);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 9);
	cr_assert(holds("b", "old") && holds("c", ""));
	cr_assert_eq(entries("."), 2);
}

Test(writer, more_outputs_than_the_table_holds_are_refused_and_slots_return)
{
	static struct file_writer w[65];
	char name[16];

	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 65; i++) {
			snprintf(name, sizeof name, "f%d", i);
			cr_assert_eq(file_writer_open(&w[i], name, NULL), i < 64 ? TAMIS_OK : TAMIS_E_OUTPUT, "%d", i);
		}
		for (int i = 0; i < 65; i++)
			file_writer_abort(&w[i]);
	}
	cr_assert_eq(entries("."), 0);
}

Test(writer, same_file_is_told_by_inode)
{
	put("a", "");
	put("b", "");
	cr_assert_eq(symlink("a", "l") | link("a", "h"), 0);
	cr_assert(file_same("a", "./a") && file_same("a", "l") && file_same("a", "h"));
	cr_assert(!file_same("a", "b") && !file_same("a", "missing") && !file_same("missing", "missing"));
}
