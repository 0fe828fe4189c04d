/* SPDX-License-Identifier: Apache-2.0 */
/* What `--dry-run` says of the memory, against what the run then takes: below the bound, and not absurdly far below.
 *
 *     peak TAMIS SAMPLES [NAME]    samples, or the one of this name; without a name the resnet is only scored
 *
 * A process has a few megabytes of its own, whatever it does; beyond them the bound may be three times the peak. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESS 16e6
#define SLACK 3
enum { WORDS = 24, TEXT = 1 << 20 };

static const char *tamis, *samples;

static void fail(const char *what)
{
	fprintf(stderr, "peak: %s\n", what);
	exit(1);
}

/* Runs the words; peak bytes of the process, and what it printed when `text` is not NULL. */
static double run(char *const *words, char *text)
{
	struct rusage use;
	int ends[2], status;
	size_t n = 0;
	ssize_t got;
	pid_t pid;

	if (pipe(ends))
		fail("no pipe");
	pid = fork();
	if (pid == 0) {
		dup2(ends[1], STDOUT_FILENO);
		close(ends[0]);
		close(ends[1]);
		execv(words[0], words);
		_exit(127);
	}
	close(ends[1]);
	while (pid > 0 && text && n < TEXT - 1 && (got = read(ends[0], text + n, TEXT - 1 - n)) > 0)
		n += (size_t)got;
	if (text)
		text[n] = '\0';
	close(ends[0]);
	if (pid < 0 || wait4(pid, &status, 0, &use) != pid || !WIFEXITED(status) || WEXITSTATUS(status))
		fail("the command failed");
	return 1024 * (double)use.ru_maxrss;
}

static double number(const char *json, const char *key)
{
	const char *at = strstr(json, key);

	if (!at || !(at = strchr(at, ':')))
		fail("the plan lacks a number");
	return strtod(at + 1, NULL);
}

/* options: words apart by spaces. */
static int compare(const char *name, const char *command, const char *options, const char *threads)
{
	static char text[TEXT];
	char model[512], items[512], words_of[256], *words[WORDS] = { (char *)tamis, (char *)command, model, "-c", items, "-q",
		"-j", (char *)threads };
	int n = 8, first;
	double bound, peak, runs;
	bool good;

	snprintf(model, sizeof model, "%s/%s.onnx", samples, name);
	snprintf(items, sizeof items, "%s/fashion-calib.npz", samples);
	snprintf(words_of, sizeof words_of, "%s", options);
	for (char *w = strtok(words_of, " "); w; w = strtok(NULL, " "))
		words[n++] = w;
	first = n;
	words[n++] = (char *)"--dry-run";
	words[n++] = (char *)"--json";
	words[n++] = (char *)"-";
	run(words, text);
	bound = number(text, "\"memory_bytes\"");
	runs = number(text, "\"forward_runs\"");
	words[first] = NULL;
	if (!strcmp(command, "slim"))
		words[first++] = (char *)"/dev/null";
	else
		words[first++] = (char *)"-opeak.scores";
	words[first] = NULL;
	peak = run(words, NULL);
	good = peak <= bound && bound - PROCESS <= SLACK * (peak - PROCESS);
	printf("%s %s %s-j %s: peak %.1f MB, bound %.1f MB, %.0f forward runs: %s\n", name, command, options, threads, peak / 1e6,
	       bound / 1e6, runs, good ? "within" : "NOT within");
	fflush(stdout);
	return !good;
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "fashion-mlp", "fashion-lenet5", "fashion-resnet" };
	static const char *const threads[] = { "1", "2" };
	int bad = 0;

	if (argc < 3)
		return 2;
	tamis = argv[1];
	samples = argv[2];
	for (int i = 0; i < 3; i++)
		for (int j = 0; j < 2; j++) {
			if (argc > 3 && strcmp(argv[3], names[i]))
				continue;
			bad += compare(names[i], "score", "", threads[j]);
			bad += compare(names[i], "score", "--criterion fisher --features rich ", threads[j]);
			if (j == 1 && (i < 2 || argc > 3))
				bad += compare(names[i], "slim", "--keep 0.5 --rounds 2 --tolerance 1 ", threads[j]);
		}
	unlink("peak.scores");
	return bad != 0;
}
