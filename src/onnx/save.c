/* SPDX-License-Identifier: Apache-2.0 */
/* Writing a model, all or nothing. The rename of the .onnx is the one moment at which the output changes. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "onnx/check.h"
#include "onnx/relocate.h"

/* Limits under which a file is read back that this process could hold in memory to write it. */
static struct doc_limits generous(const struct document *doc)
{
	return (struct doc_limits){ .max_memory = doc->max_memory, .max_messages = 1ull << 30 };
}

static enum tamis_status not_valid(struct tamis_error *err, const struct tamis_error *why)
{
	return tm_fail(err, why->status == TAMIS_E_MEMORY ? TAMIS_E_MEMORY : TAMIS_E_INTERNAL,
	               "the model as written does not pass as a model, so nothing was put in place: %s",
	               why->message);
}

/* Reads a written file back: the same bytes, and a valid model. `path` NULL: the bytes themselves. */
static enum tamis_status verify(const struct document *doc, const char *path, const uint8_t *data,
                                size_t size, struct tamis_error *err)
{
	struct tamis_error why = { 0 };
	struct doc_limits limits = generous(doc);
	struct document *again;
	enum tamis_status st = path ? doc_load(path, &limits, &again, &why)
	                            : doc_load_memory(data, size, doc->dir, &limits, &again, &why);
	if (st == TAMIS_OK && again->bytes != size)
		st = tm_fail(&why, TAMIS_E_INVALID, "%zu bytes were written, and %llu were read back", size,
		             (unsigned long long)again->bytes);
	if (st == TAMIS_OK)
		st = check_or_fail(again, &why);
	doc_free(again);
	return st == TAMIS_OK ? st : not_valid(err, &why);
}

/* Renames into place. *replaced tells whether the output is the new file, which it may be even after a
 * failure (when the directory cannot be synced): its data file must then stay. */
static enum tamis_status commit(struct file_writer *w, const char *path, bool *replaced,
                                struct tamis_error *err)
{
	struct stat ours, now;
	bool known = w->temp && lstat(w->temp, &ours) == 0;
	enum tamis_status st = file_writer_commit(w, err);
	*replaced = st == TAMIS_OK
	            || (known && lstat(path, &now) == 0 && now.st_dev == ours.st_dev && now.st_ino == ours.st_ino);
	return st;
}

static enum tamis_status write_model(const struct document *doc, const char *path, const uint8_t *data,
                                     size_t size, bool check, bool *replaced, struct tamis_error *err)
{
	struct file_writer w;
	enum tamis_status st = file_writer_open(&w, path, err);
	if (st != TAMIS_OK)
		return st;
	if (check && !w.temp) /* written straight through: it cannot be read back */
		st = verify(doc, NULL, data, size, err);
	if (st == TAMIS_OK)
		st = file_writer_write(&w, data, size, err);
	if (st == TAMIS_OK)
		st = file_writer_finish(&w, err);
	if (st == TAMIS_OK && check && w.temp)
		st = verify(doc, w.temp, data, size, err);
	if (st == TAMIS_OK)
		st = commit(&w, path, replaced, err);
	if (st != TAMIS_OK)
		file_writer_abort(&w);
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
