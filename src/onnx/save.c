/* SPDX-License-Identifier: Apache-2.0 */
/* Writing a model, all or nothing. The rename of the .onnx is the one moment at which the output changes. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "onnx/check.h"
#include "onnx/relocate.h"

/* Limits under which a file is read back that this process could hold in memory to write it. */
static struct doc_limits generous(const struct document *doc)
{
	return (struct doc_limits){ .max_memory = doc->max_memory, .max_messages = 1ull << 30 };
}

/* The file holds the very bytes that were written. */
static enum tamis_status read_back(const char *path, const uint8_t *data, size_t size, struct tamis_error *err)
{
	struct tamis_error why = { 0 };
	uint8_t *again = NULL;
	size_t n = 0;
	enum tamis_status st = file_read(path, size, &again, &n, &why);
	if (st == TAMIS_E_INVALID)
		st = tm_fail(err, TAMIS_E_OUTPUT, "what was written cannot be read back, so nothing was put in place: %s",
		             why.message);
	else if (st != TAMIS_OK)
		st = tm_no_memory(err, "reading the output back");
	else if (n != size || memcmp(again, data, size) != 0)
		st = tm_fail(err, TAMIS_E_OUTPUT, "what is read back is not what was written, so nothing was put in place");
	free(again);
	return st;
}

/* The bytes are a valid model, whose external data lie below `dir`. */
static enum tamis_status verify(const struct document *doc, const char *dir, const uint8_t *data, size_t size,
                                struct tamis_error *err)
{
	struct tamis_error why = { 0 };
	struct doc_limits limits = generous(doc);
	struct document *again;
	enum tamis_status st = doc_load_memory(data, size, dir, &limits, &again, &why);
	if (st == TAMIS_OK)
		st = check_or_fail(again, &why);
	doc_free(again);
	if (st != TAMIS_OK)
		return tm_fail(err, st == TAMIS_E_MEMORY ? st : TAMIS_E_INTERNAL,
		               "the model as written does not pass as a model, so nothing was put in place: %s", why.message);
	return st;
}

/* Of an output that is written straight through, nothing can be read back: it is checked beforehand. */
static enum tamis_status check_written(const struct document *doc, const struct file_writer *w, const uint8_t *data,
                                       size_t size, struct tamis_error *err)
{
	size_t n;
	char *dir;
	enum tamis_status st;
	if (!w->temp)
		return verify(doc, doc->dir, data, size, err);
	st = read_back(w->temp, data, size, err);
	if (st != TAMIS_OK)
		return st;
	dir = directory_part(w->path, &n);
	st = dir ? verify(doc, dir, data, size, err) : tm_no_memory(err, "reading the output back");
	free(dir);
	return st;
}

static enum tamis_status write_model(const struct document *doc, const char *path, const uint8_t *data,
                                     size_t size, bool check, bool *replaced, struct tamis_error *err)
{
	struct file_writer w;
	enum tamis_status st = file_writer_open(&w, path, err);
	if (st != TAMIS_OK)
		return st;
	if (check && !w.temp)
		st = check_written(doc, &w, data, size, err);
	if (st == TAMIS_OK)
		st = file_writer_write(&w, data, size, err);
	if (st == TAMIS_OK)
		st = file_writer_finish(&w, err);
	if (st == TAMIS_OK && check && w.temp)
		st = check_written(doc, &w, data, size, err);
	if (st == TAMIS_OK)
		st = file_writer_commit(&w, err);
	if (st != TAMIS_OK)
		file_writer_abort(&w);
	*replaced = w.replaced;
	return st;
}

static enum tamis_status save(struct document *doc, const char *path, const struct doc_save_options *o,
                              struct tamis_error *err)
{
	struct relocation r;
	uint8_t *data = NULL;
	size_t size = 0;
	bool replaced = false;
	enum tamis_status st = relocation_plan(&r, doc, path, o, err);
	if (st == TAMIS_OK)
		st = relocation_apply(&r, path, err);
	if (st == TAMIS_OK)
		st = doc_pack(doc, &data, &size, err);
	if (st == TAMIS_OK)
		st = write_model(doc, path, data, size, !o->no_verify, &replaced, err);
	relocation_finish(&r, replaced);
	free(data);
	return st;
}

enum tamis_status doc_save(struct document *doc, const char *path, const struct doc_save_options *options,
                           struct tamis_error *err)
{
	struct doc_save_options defaults = { 0 };
	const struct doc_save_options *o = options ? options : &defaults;
	enum tamis_status st;
	bool over_input = strcmp(path, "-") != 0 && *doc->path && strcmp(doc->path, "-") != 0
	                  && file_same(doc->path, path);
	if (over_input && !o->in_place)
		st = tm_fail(err, TAMIS_E_USAGE, "the output is the file that was read; allow that with --in-place");
	else
		st = save(doc, path, o, err);
	if (st != TAMIS_OK)
		tm_in_file(err, path);
	return st;
}
