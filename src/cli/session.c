/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/session.h"

#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/message.h"

/* ---- outputs ---- */

static bool is_dash(const char *path)
{
	return strcmp(path, "-") == 0;
}

static bool identify(const char *path, int dash_fd, struct stat *st)
{
	int rc = is_dash(path) ? fstat(dash_fd, st) : stat(path, st);

	return rc == 0 && S_ISREG(st->st_mode);
}

/* The file a data specification names: all of it, or what follows NAME: */
static bool same_as_input(const struct stat *out, const char *input, bool is_data)
{
	const char *colon = is_data ? strchr(input, ':') : NULL;
	struct stat st;

	if (identify(input, STDIN_FILENO, &st) && st.st_dev == out->st_dev && st.st_ino == out->st_ino)
		return true;
	return colon && colon[1] && same_as_input(out, colon + 1, false);
}

static enum tamis_status refuse_input(const char *out, const char *input)
{
	const char *shown = is_dash(out) ? "standard output" : out;

	return usage_error("%s: the output is the file of an input, '%.200s'; give another name", shown, input);
}

static enum tamis_status refuse_in_place(const char *out)
{
	return usage_error("%s: the output is MODEL itself; give another name, or --in-place",
	                   is_dash(out) ? "standard output" : out);
}

static enum tamis_status refuse_inputs(const struct arguments *a, const char *out, bool model_allowed)
{
	struct stat st;

	if (!out || !identify(out, STDOUT_FILENO, &st))
		return TAMIS_OK;
	for (int i = 0; !model_allowed && i < a->command->inputs && i < (int)a->operands.n; i++)
		if (same_as_input(&st, a->operands.at[i], false))
			return out == a->output && a->command->bit == SLIM ? refuse_in_place(out)
			                                                   : refuse_input(out, a->operands.at[i]);
	for (size_t i = 0; i < a->data.n; i++)
		if (same_as_input(&st, a->data.at[i], true))
			return refuse_input(out, a->data.at[i]);
	for (size_t i = 0; i < a->holdout.n; i++)
		if (same_as_input(&st, a->holdout.at[i], true))
			return refuse_input(out, a->holdout.at[i]);
	if (a->labels && same_as_input(&st, a->labels, false))
		return refuse_input(out, a->labels);
	if (a->scores && same_as_input(&st, a->scores, false))
		return refuse_input(out, a->scores);
	if (a->slim.scores && same_as_input(&st, a->slim.scores, false))
		return refuse_input(out, a->slim.scores);
	if (a->source && same_as_input(&st, a->source, false))
		return refuse_input(out, a->source);
	return TAMIS_OK;
}

static bool same_output(const char *a, const char *b)
{
	struct stat x, y;

	if (strcmp(a, b) == 0)
		return true;
	return identify(a, STDOUT_FILENO, &x) && identify(b, STDOUT_FILENO, &y) && x.st_dev == y.st_dev
	       && x.st_ino == y.st_ino;
}

/* The directory must exist and admit a new file; the file itself must be no directory. Says nothing of a
 * full disk. */
static enum tamis_status check_writable(const char *path)
{
	char *copy;
	struct stat st;
	enum tamis_status status = TAMIS_OK;

	if (!path || is_dash(path))
		return TAMIS_OK;
	if (stat(path, &st) != 0) {
		if (errno == ENOTDIR) /* access() would speak of permissions */
			return output_error(path, "cannot be written");
	} else if (!S_ISREG(st.st_mode)) {
		errno = EISDIR;
		return S_ISDIR(st.st_mode) ? output_error(path, "cannot be written") : TAMIS_OK;
	}
	copy = strdup(path);
	if (copy && access(dirname(copy), W_OK | X_OK) != 0)
		status = output_error(path, "cannot be written");
	free(copy);
	return status;
}

enum tamis_status session_check_outputs(const struct arguments *a)
{
	enum tamis_status status = refuse_inputs(a, a->output, a->in_place);

	if (status == TAMIS_OK)
		status = refuse_inputs(a, a->json, false);
	if (status == TAMIS_OK)
		status = refuse_inputs(a, a->html, false);
	if (status == TAMIS_OK && a->output && a->json && same_output(a->output, a->json))
		status = usage_error("%s: the %s and the JSON report cannot go to the same place", a->output,
		                     a->command->bit == SLIM ? "model" : "scores");
	if (status == TAMIS_OK && a->output && a->html && same_output(a->output, a->html))
		status = usage_error("%s: the %s and the HTML report cannot go to the same place", a->output,
		                     a->command->bit == SLIM ? "model" : "scores");
	if (status == TAMIS_OK && a->json && a->html && same_output(a->json, a->html))
		status = usage_error("%s: the JSON and the HTML report cannot go to the same place", a->json);
	if (status == TAMIS_OK && a->slim.dry_run && a->html)
		status = usage_error("--html shows what a run found, and a dry run finds nothing");
	if (status == TAMIS_OK && !a->slim.dry_run)
		status = check_writable(a->output);
	if (status == TAMIS_OK)
		status = check_writable(a->json);
	if (status == TAMIS_OK)
		status = check_writable(a->html);
	return status;
}

/* ---- model and items ---- */

struct tamis_load_options session_limits(const struct arguments *a)
{
	struct tamis_load_options o;

	tamis_load_options_default(&o);
	o.max_memory = a->slim.max_memory;
	return o;
}

static enum tamis_status open_items(struct session *s, const struct arguments *a, struct tamis_error *err)
{
	struct tamis_calibration_options o;

	tamis_calibration_options_default(&o);
	o.random = a->random;
	o.seed = a->slim.seed;
	o.max_memory = a->slim.max_memory;
	o.labels = a->labels;
	o.holdout = a->holdout.at;
	o.n_holdout = a->holdout.n;
	o.observer = s->observer;
	return tamis_calibration_open(s->model, a->data.at, a->data.n, &o, &s->data, err);
}

enum tamis_status session_open(struct session *s, const struct arguments *a)
{
	struct tamis_error err = {0};
	struct tamis_load_options load = session_limits(a);
	enum tamis_status status;

	*s = (struct session){0};
	if (a->data.n == 0 && a->random == 0)
		return usage_error("%s wants items: -c DATA, or --random N", a->command->name);
	if (a->data.n > 0 && a->random > 0)
		return usage_error("%s wants either -c or --random, not both", a->command->name);
	s->observer = progress_start(&s->progress, a);
	status = tamis_model_open(a->operands.at[0], &load, &s->model, &err);
	if (status == TAMIS_OK)
		status = open_items(s, a, &err);
	if (status != TAMIS_OK) {
		progress_clear(&s->progress);
		return say_error(&err);
	}
	return TAMIS_OK;
}

void session_close(struct session *s)
{
	progress_clear(&s->progress);
	tamis_calibration_close(s->data);
	tamis_model_close(s->model);
}
