/* SPDX-License-Identifier: Apache-2.0 */
/* Compares what tamis does with ONNX's conformance vectors with what the list says it does.
 *
 *     conformance [--update] LIST NAME=FOLDER...
 *
 * Each FOLDER holds kinds (node, simple, ...), each kind one folder a vector. A line of LIST is a vector and
 * what is
 * expected of it, sorted by name:
 *
 *     NAME/node/test_abs pass
 *     NAME/node/test_x pass 1e-2               to this tolerance, for vectors of few digits; set by hand
 *     NAME/node/test_y refused: the reason     the reason is for people and not compared
 *
 * Wrong results, crashes and hangs always fail, as does anything that differs from the list. Vectors of other
 * versions of ONNX that are not listed may pass or be refused. Exit status 0, 1, or 77 when there are no
 * vectors. */
#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vector.h"

#define NAME_MAX_BYTES 256
#define WHY_BYTES 400
#define SECONDS 60 /* a vector may take */

struct vector {
	char name[NAME_MAX_BYTES];
	char why[WHY_BYTES];  /* of the run, or of the list where it was not run */
	enum outcome outcome; /* of the run */
	enum outcome listed;
	double tolerance;
	bool known, ran; /* in the list; on this machine */
};

struct list {
	struct vector *all;
	size_t n, room;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct vector *)a)->name, ((const struct vector *)b)->name);
}

static struct vector *append(struct list *l, const char *name)
{
	if (l->n == l->room) {
		size_t room = l->room ? 2 * l->room : 1024;
		struct vector *all = realloc(l->all, room * sizeof *all);

		if (!all) {
			fprintf(stderr, "out of memory\n");
			exit(1);
		}
		l->all = all;
		l->room = room;
	}
	memset(&l->all[l->n], 0, sizeof *l->all);
	snprintf(l->all[l->n].name, NAME_MAX_BYTES, "%s", name);
	return &l->all[l->n++];
}

/* ---- The list ---- */

static bool read_list(const char *path, struct list *l)
{
	char line[NAME_MAX_BYTES + WHY_BYTES + 16];
	FILE *f = fopen(path, "r");

	while (f && fgets(line, sizeof line, f)) {
		char *rest = strchr(line, ' ');
		struct vector *v;

		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '#' || line[0] == '\0')
			continue;
		if (!rest || (strncmp(rest + 1, "pass", 4) != 0 && strncmp(rest + 1, "refused: ", 9) != 0)) {
			fprintf(stderr, "%s: not a line of the list: %s\n", path, line);
			fclose(f);
			return false;
		}
		*rest++ = '\0';
		v = append(l, line);
		v->known = true;
		v->listed = rest[0] == 'p' ? OUTCOME_PASS : OUTCOME_REFUSED;
		if (v->listed == OUTCOME_PASS)
			v->tolerance = strtod(rest + 4, NULL);
		else
			snprintf(v->why, sizeof v->why, "%s", rest + 9);
	}
	if (f)
		fclose(f);
	return f != NULL;
}

static bool write_list(const char *path, const struct list *l)
{
	FILE *f = fopen(path, "w");

	if (!f)
		return false;
	fprintf(f,
	        "# Conformance vectors of ONNX and what tamis does with them; runner.c says how to read and update this.\n");
	for (size_t i = 0; i < l->n; i++) {
		const struct vector *v = &l->all[i];
		bool wrong = v->ran && v->outcome == OUTCOME_WRONG;

		if (wrong && !v->known)
			continue;
		if ((v->ran && !wrong ? v->outcome : v->listed) == OUTCOME_REFUSED)
			fprintf(f, "%s refused: %s\n", v->name, v->why);
		else if (v->tolerance > 0)
			fprintf(f, "%s pass %g\n", v->name, v->tolerance);
		else
			fprintf(f, "%s pass\n", v->name);
	}
	return fclose(f) == 0;
}

/* ---- Running, one process a vector ---- */

struct verdict {
	enum outcome outcome;
	char why[WHY_BYTES];
};

/* Ends by exit(), where a sanitizer looks for leaks and coverage is written down. */
static void child(int to, const char *folder, double tolerance)
{
	struct verdict v = {0};

	alarm(SECONDS);
	v.outcome = vector_run(folder, tolerance, v.why, sizeof v.why);
	exit(write(to, &v, sizeof v) == (ssize_t)sizeof v ? 0 : 1);
}

static struct verdict run_apart(const char *folder, double tolerance)
{
	struct verdict v = {.outcome = OUTCOME_WRONG};
	int ends[2], status = 0;
	pid_t pid;

	fflush(NULL); /* or the child says it once more */
	if (pipe(ends) != 0 || (pid = fork()) < 0) {
		snprintf(v.why, sizeof v.why, "no process could be started");
		return v;
	}
	if (pid == 0)
		child(ends[1], folder, tolerance);
	close(ends[1]);
	if (read(ends[0], &v, sizeof v) != (ssize_t)sizeof v)
		v.outcome = OUTCOME_WRONG;
	close(ends[0]);
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status)) {
		v.outcome = OUTCOME_WRONG;
		snprintf(v.why, sizeof v.why, WTERMSIG(status) == SIGALRM ? "hung for %d s" : "died of signal %d",
		         WTERMSIG(status) == SIGALRM ? SECONDS : WTERMSIG(status));
	} else if (WEXITSTATUS(status) != 0) {
		v.outcome = OUTCOME_WRONG;
		snprintf(v.why, sizeof v.why, "ended with exit code %d", WEXITSTATUS(status));
	}
	return v;
}

static void run_vector(struct list *l, size_t known, const char *name, const char *folder)
{
	struct vector key, *v;
	struct verdict verdict;

	snprintf(key.name, sizeof key.name, "%s", name);
	v = known ? bsearch(&key, l->all, known, sizeof key, by_name) : NULL;
	if (!v)
		v = append(l, name);
	verdict = run_apart(folder, v->tolerance);
	v->ran = true;
	v->outcome = verdict.outcome;
	snprintf(v->why, sizeof v->why, "%.*s", (int)strcspn(verdict.why, "\n"), verdict.why);
}

static int visible(const struct dirent *d)
{
	return d->d_name[0] != '.' && d->d_name[0] != '_';
}

static bool is_folder(const char *path)
{
	struct stat s;

	return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

/* Folders two levels below root: kinds and vectors. */
/* One level of recursion. */
static void run_root(struct list *l, size_t known, const char *set, const char *root, const char *kind)
{
	struct dirent **entries;
	char path[2048];
	int n;

	snprintf(path, sizeof path, "%s%s%s", root, kind ? "/" : "", kind ? kind : "");
	n = scandir(path, &entries, visible, alphasort);
	for (int i = 0; i < n; i++) {
		char name[NAME_MAX_BYTES], folder[4096];

		snprintf(folder, sizeof folder, "%s/%.200s", path, entries[i]->d_name);
		snprintf(name, sizeof name, "%.40s/%.40s/%.160s", set, kind ? kind : "", entries[i]->d_name);
		if (is_folder(folder)) {
			if (kind)
				run_vector(l, known, name, folder);
			else
				run_root(l, known, set, root, entries[i]->d_name);
		}
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
}

/* ---- Judging ---- */

/* Whether the vector is as it should be; says why not. */
static bool judge(const struct vector *v)
{
	if (!v->ran)
		return true;
	if (v->outcome == OUTCOME_WRONG)
		printf("%s: WRONG: %s\n", v->name, v->why);
	else if (v->known && v->outcome == OUTCOME_REFUSED && v->listed == OUTCOME_PASS)
		printf("%s: passed before and is refused now: %s\n", v->name, v->why);
	else if (v->known && v->outcome == OUTCOME_PASS && v->listed == OUTCOME_REFUSED)
		printf("%s: passes now: update the list\n", v->name);
	else
		return true;
	return false;
}

static void print_share(const struct list *l, const char *set, const char *kind)
{
	char prefix[128];
	size_t all = 0, pass = 0;

	snprintf(prefix, sizeof prefix, "%s/%s/", set, kind);
	for (size_t i = 0; i < l->n; i++)
		if (l->all[i].ran && strncmp(l->all[i].name, prefix, strlen(prefix)) == 0) {
			all++;
			pass += l->all[i].outcome == OUTCOME_PASS;
		}
	if (all)
		printf("%-28s %5zu of %5zu pass (%.1f %%)\n", prefix, pass, all, 100.0 * (double)pass / (double)all);
}

static void print_shares(const struct list *l, int sets, char **set)
{
	static const char *const kinds[] = {"node", "simple", "pytorch-converted", "pytorch-operator", "real"};

	for (int s = 0; s < sets; s++)
		for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
			char name[64];

			snprintf(name, sizeof name, "%.*s", (int)strcspn(set[s], "="), set[s]);
			print_share(l, name, kinds[k]);
		}
}

static int summary(const struct list *l, int sets, char **set)
{
	size_t ran = 0, bad = 0, unlisted = 0;

	for (size_t i = 0; i < l->n; i++) {
		bad += !judge(&l->all[i]);
		ran += l->all[i].ran;
		unlisted += !l->all[i].known;
	}
	print_shares(l, sets, set);
	printf("%zu vectors ran, %zu not as listed, %zu not in the list\n", ran, bad, unlisted);
	if (!ran)
		return 77;
	return bad != 0;
}

/* Writes the list anew, unless something is wrong: that never becomes an expectation. */
static int update(const char *path, const struct list *l)
{
	size_t wrong = 0;

	for (size_t i = 0; i < l->n; i++)
		if (l->all[i].ran && l->all[i].outcome == OUTCOME_WRONG) {
			judge(&l->all[i]);
			wrong++;
		}
	if (wrong)
		printf("%zu wrong: they stay in the list as they were\n", wrong);
	return write_list(path, l) && !wrong ? 0 : 1;
}

int main(int argc, char **argv)
{
	bool updating = argc > 1 && strcmp(argv[1], "--update") == 0;
	int first = updating ? 3 : 2, status;
	struct list l = {0};
	size_t known;

	if (argc <= first) {
		fprintf(stderr, "usage: %s [--update] LIST NAME=FOLDER...\n", argv[0]);
		return 1;
	}
	if (!read_list(argv[first - 1], &l) && !updating)
		return 1;
	known = l.n;
	if (known)
		qsort(l.all, l.n, sizeof *l.all, by_name);
	for (int i = first; i < argc; i++) {
		char *at = strchr(argv[i], '=');
		char set[64];

		if (!at)
			continue;
		snprintf(set, sizeof set, "%.*s", (int)(at - argv[i]), argv[i]);
		run_root(&l, known, set, at + 1, NULL);
	}
	if (l.n)
		qsort(l.all, l.n, sizeof *l.all, by_name);
	status = summary(&l, argc - first, argv + first);
	if (updating)
		status = update(argv[first - 1], &l);
	free(l.all);
	return status;
}
