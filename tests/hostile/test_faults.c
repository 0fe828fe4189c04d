/* SPDX-License-Identifier: Apache-2.0 */
/* Promise 4, all or nothing: each call of the system that reading and writing make goes wrong in turn, and a signal ends a
 * process before, amid and after each. The output is the old file or the complete new one. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "faults.h"
#include "scenario.h"

TestSuite(faults, .init = scenario_enter, .fini = scenario_leave);

/* What a child tells: its calls, and its error. */
struct told {
	long seen[FAULT_CALLS];
	struct tamis_error err;
};

static struct told *told;

static void on_signal(int number)
{
	tamis_remove_temporaries();
	signal(number, SIG_DFL);
	raise(number);
}

#ifdef COVERAGE
void __gcov_dump(void);
#endif

/* Ends a child without the framework's clean-up, but not without what it covered. */
static void leave(enum tamis_status status)
{
	static const struct fault none;
	static long uncounted[FAULT_CALLS];

	faults_watch(&none, uncounted);
#ifdef COVERAGE
	__gcov_dump();
#endif
	_exit(status);
}

/* Plays in a process of its own; the status as waitpid gives it. */
static int play(const struct scenario *s, const struct fault *f)
{
	int status;
	pid_t child;

	if (!told)
		told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	memset(told, 0, sizeof *told);
	scenario_reset(s->output);
	child = fork();
	if (child == 0) {
		signal(SIGINT, on_signal);
		faults_watch(f, told->seen);
		leave(s->play(&told->err));
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	return status;
}

/* The file as bytes; NULL where there is none. */
static uint8_t *contents(const char *path, size_t *size)
{
	uint8_t *data = NULL;

	*size = 0;
	return path && file_read(path, 1 << 24, &data, size, NULL) == TAMIS_OK ? data : NULL;
}

struct wanted {
	const struct scenario *s;
	uint8_t *bytes; /* of the new output */
	size_t size;
	int strangers;  /* files that success leaves */
	long seen[FAULT_CALLS];
};

static bool is_new(const struct wanted *w)
{
	size_t size;
	uint8_t *data = contents(w->s->output, &size);
	bool same = size == w->size && (size == 0 || memcmp(data, w->bytes, size) == 0);

	free(data);
	return same;
}

static bool is_old(const struct wanted *w)
{
	size_t size;
	uint8_t *data = contents(w->s->output, &size);
	bool same = !w->s->output || (size == strlen(OLD) && memcmp(data, OLD, size) == 0);

	free(data);
	return same;
}

/* A new model can be opened and its tensors read, those of its data file too. */
static void expect_whole(const struct wanted *w, const char *what)
{
	struct tamis_model *m = NULL;
	struct tamis_report *r = NULL;

	if (!w->s->output || !strstr(w->s->output, ".onnx"))
		return;
	cr_expect_eq(tamis_model_open(w->s->output, NULL, &m, NULL), TAMIS_OK, "%s", what);
	cr_expect_eq(tamis_info(m, NULL, &r, NULL), TAMIS_OK, "%s", what);
	tamis_report_free(r);
	tamis_model_close(m);
}

static void learn(struct wanted *w, const struct scenario *s)
{
	const struct fault none = { .at = 0 };
	int status = play(s, &none);

	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == TAMIS_OK, "%s: %s", s->name, told->err.message);
	*w = (struct wanted){ .s = s, .strangers = scenario_strangers() };
	w->bytes = contents(s->output, &w->size);
	memcpy(w->seen, told->seen, sizeof w->seen);
}

static void expect_outcome(const struct wanted *w, const struct fault *f, int status, bool may_fail)
{
	char what[1280];
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	bool fresh = is_new(w);

	snprintf(what, sizeof what, "%s: %s %ld, kind %d, number %d: code %d, %s", w->s->name, fault_names[f->call], f->at,
	         f->kind, f->number, code, code > 0 ? told->err.message : "");
	cr_expect(fresh || is_old(w), "%s: the output is neither old nor new", what);
	if (fresh)
		expect_whole(w, what);
	if (f->kind == FAULT_ERROR || f->kind == FAULT_SHORT) {
		cr_expect(WIFEXITED(status), "%s: ended by a signal", what);
		cr_expect(code != TAMIS_OK || fresh, "%s: success without the new file", what);
		cr_expect(code == TAMIS_OK || (may_fail && code != TAMIS_E_INTERNAL && told->err.message[0]), "%s", what);
	} else {
		cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == f->number, "%s: not ended by the signal", what);
	}
	if (f->kind < FAULT_BEFORE)
		cr_expect_eq(scenario_strangers(), fresh ? w->strangers : w->s->output != NULL, "%s: files are left", what);
}

/* Every call of one sort in turn, in every scenario. */
static void sweep(enum fault_call call, enum fault_kind kind, int number, bool may_fail)
{
	long all = 0;

	for (int i = 0; i < n_scenarios; i++) {
		struct wanted w;

		learn(&w, &scenarios[i]);
		all += w.seen[call];
		for (long at = 1; at <= w.seen[call]; at++) {
			const struct fault f = { call, at, kind, number };

			expect_outcome(&w, &f, play(w.s, &f), may_fail);
		}
		free(w.bytes);
	}
	cr_expect_gt(all, 0, "no %s came by here", fault_names[call]);
}

Test(faults, every_write_fails)
{
	sweep(FAULT_WRITE, FAULT_ERROR, ENOSPC, true);
	sweep(FAULT_WRITE, FAULT_ERROR, EIO, true);
}

Test(faults, every_read_fails)
{
	sweep(FAULT_READ, FAULT_ERROR, EIO, true);
}

Test(faults, every_open_fails)
{
	sweep(FAULT_OPEN, FAULT_ERROR, EMFILE, true);
	sweep(FAULT_OPEN, FAULT_ERROR, EACCES, true);
}

Test(faults, every_fsync_close_and_rename_fails)
{
	sweep(FAULT_FSYNC, FAULT_ERROR, EIO, true);
	sweep(FAULT_CLOSE, FAULT_ERROR, EIO, true);
	sweep(FAULT_RENAME, FAULT_ERROR, EACCES, true);
}

Test(faults, interrupted_and_short_calls_are_taken_up_again)
{
	sweep(FAULT_READ, FAULT_ERROR, EINTR, false);
	sweep(FAULT_WRITE, FAULT_ERROR, EINTR, false);
	sweep(FAULT_FSYNC, FAULT_ERROR, EINTR, false);
	sweep(FAULT_CLOSE, FAULT_ERROR, EINTR, false);
	sweep(FAULT_READ, FAULT_SHORT, 0, false);
	sweep(FAULT_WRITE, FAULT_SHORT, 0, false);
}

static const enum fault_call steps[] = { FAULT_OPEN, FAULT_WRITE, FAULT_FSYNC, FAULT_CLOSE, FAULT_RENAME };

/* openat and openat2 are of reading: signals around open and the calls of writing are enough. */
static void sweep_signal(int number)
{
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		sweep(steps[i], FAULT_BEFORE, number, false);
		if (steps[i] != FAULT_OPEN)
			sweep(steps[i], FAULT_AFTER, number, false);
	}
	sweep(FAULT_WRITE, FAULT_MIDDLE, number, false);
}

Test(faults, killed_at_each_step)
{
	sweep_signal(SIGKILL);
}

Test(faults, interrupted_by_the_user_at_each_step)
{
	sweep_signal(SIGINT);
}
