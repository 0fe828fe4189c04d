/* SPDX-License-Identifier: Apache-2.0 */
/* Promise 3: nothing is opened but the files that are named and their directory, nothing is written but the output, and no
 * process is started and no socket opened. The kernel kills a process that tries. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faults.h"
#include "scenario.h"

TestSuite(confined, .init = scenario_enter, .fini = scenario_leave);

static long seen[FAULT_CALLS];

/* Ends the process at the first path that nobody named. */
static void look_at_path(const char *path, int flags)
{
	bool writes = (flags & O_ACCMODE) != O_RDONLY;
	bool temporary = !strncmp(path, ".tamis-", 7) || !strncmp(path, "./.tamis-", 9);
	bool data = strstr(path, ".data") != NULL;

	if (*path == '/' || strstr(path, "..") || (writes && !temporary && !data && strcmp(path, ".")))
		_exit(99);
}

/* Kills at socket, execve, fork and their like. */
static bool forbid(void)
{
	static const int calls[] = { SYS_socket, SYS_execve, SYS_execveat, SYS_fork, SYS_vfork, SYS_ptrace };
	enum { N = sizeof calls / sizeof *calls };
	struct sock_filter code[N + 3];
	struct sock_fprog program = { .len = N + 3, .filter = code };

	code[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (int i = 0; i < N; i++)
		code[1 + i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i], (unsigned char)(N - i), 0);
	code[N + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	code[N + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

Test(confined, every_use_stays_with_the_files_that_are_named)
{
	const struct fault none = { .at = 0 };

	for (int i = 0; i < n_scenarios; i++) {
		const struct scenario *s = &scenarios[i];
		struct tamis_error err = { 0 };
		int status;
		pid_t child;

		scenario_reset(s->output);
		child = fork();
		if (child == 0) {
			if (!forbid())
				_exit(77);
			faults_watch(&none, seen);
			faults_look(look_at_path);
			_exit(s->play(&err));
		}
		cr_assert_eq(waitpid(child, &status, 0), child);
		if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
			cr_skip_test("no seccomp here");
		cr_expect(WIFEXITED(status), "%s: ended by signal %d", s->name, WTERMSIG(status));
		cr_expect_eq(WEXITSTATUS(status), TAMIS_OK, "%s: %d (99: a path that nobody named)", s->name, WEXITSTATUS(status));
	}
}
