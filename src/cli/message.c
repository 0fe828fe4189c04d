/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/message.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum tamis_status usage_error(const char *fmt, ...)
{
	char text[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	/* Words of the command line are repeated; their control characters are not. */
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	fprintf(stderr, "tamis: %s\n", text);
	return TAMIS_E_USAGE;
}

static const char *shown_file(const struct tamis_error *err)
{
	if (strcmp(err->file, "-") != 0)
		return err->file;
	return err->status == TAMIS_E_OUTPUT ? "standard output" : "standard input";
}

enum tamis_status say_error(const struct tamis_error *err)
{
	fputs("tamis: ", stderr);
	if (err->file[0])
		fprintf(stderr, "%s: ", shown_file(err));
	if (err->node[0])
		fprintf(stderr, "node '%s': ", err->node);
	if (err->tensor[0])
		fprintf(stderr, "tensor '%s': ", err->tensor);
	fprintf(stderr, "%s\n", err->message[0] ? err->message : tamis_status_text(err->status));
	return err->status;
}

enum tamis_status output_error(const char *path, const char *what)
{
	const char *reason = strerror(errno);

	fprintf(stderr, "tamis: %s: %s: %s\n", path, what, reason);
	return TAMIS_E_OUTPUT;
}

enum tamis_status say_result(const char *text)
{
	struct tamis_error err = {0};

	return tamis_write_file("-", text, strlen(text), &err) == TAMIS_OK ? TAMIS_OK : say_error(&err);
}

static enum tamis_status write_html(const char *path, const struct tamis_report *r)
{
	struct tamis_error err = {0};
	char *html = NULL;

	if (tamis_report_html(r, &html, &err) == TAMIS_OK)
		tamis_write_file(path, html, strlen(html), &err);
	free(html);
	return err.status == TAMIS_OK ? TAMIS_OK : say_error(&err);
}

static enum tamis_status write_json(const char *path, const struct tamis_report *r)
{
	struct tamis_error err = {0};
	char *json = NULL;
	enum tamis_status status = tamis_report_json(r, &json, &err);

	if (status == TAMIS_OK) {
		size_t len = strlen(json);

		json[len] = '\n'; /* a last newline in place of the NUL, which is not written */
		status = tamis_write_file(path, json, len + 1, &err);
	}
	free(json);
	return status == TAMIS_OK ? TAMIS_OK : say_error(&err);
}

static enum tamis_status write_text(const struct tamis_report *r)
{
	struct tamis_error err = {0};
	char *text = NULL;

	if (tamis_report_text(r, &text, &err) != TAMIS_OK)
		return say_error(&err);
	err.status = say_result(text);
	free(text);
	return err.status;
}

static bool is_stdout(const char *path)
{
	return path && strcmp(path, "-") == 0;
}

enum tamis_status say_report(const struct arguments *a, const struct tamis_report *r)
{
	enum tamis_status status = a->json ? write_json(a->json, r) : TAMIS_OK;

	if (status == TAMIS_OK && a->html)
		status = write_html(a->html, r);
	if (status == TAMIS_OK && !a->quiet && !is_stdout(a->json) && !is_stdout(a->html) && !is_stdout(a->output))
		status = write_text(r);
	return status;
}
