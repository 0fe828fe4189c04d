/* SPDX-License-Identifier: Apache-2.0 */
/* An open piece: its arrays, one for each input, which must agree on the number of items. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/archive.h"
#include "data/source.h"

/* At most eight names, for a message. */
static char *member_names(zip_t *zip, char *buf, size_t size)
{
	size_t at = 0;

	buf[0] = '\0';
	for (int64_t i = 0; i < archive_entries(zip) && at < size; i++) {
		int n = snprintf(buf + at, size - at, i == 8 ? ", ..." : "%s%s", i ? ", " : "", archive_name(zip, i));

		if (n < 0 || i == 8)
			break;
		at += (size_t)n;
	}
	return at ? buf : "nothing";
}

static enum tamis_status member_bytes(zip_t *zip, const char *name, struct bytes *out,
                                      struct tamis_error *err)
{
	int64_t index;
	char names[400];
	enum tamis_status status = archive_find(zip, name, &index, err);

	if (status == TAMIS_OK && index < 0)
		return tm_fail(err, TAMIS_E_INVALID, "the file has no member of the input's name; it has %s",
		               member_names(zip, names, sizeof names));
	return status == TAMIS_OK ? archive_bytes(zip, index, out, err) : status;
}

static void warn_of_extra(struct data_source *s, const struct piece *p, zip_t *zip)
{
	int64_t entries = archive_entries(zip);

	if (entries <= s->n_inputs || s->warned_extra)
		return;
	for (int64_t i = 0; i < entries; i++) {
		bool known = false;

		for (int k = 0; k < s->n_inputs; k++)
			known = known || archive_is(zip, i, s->inputs[k].name);
		if (known)
			continue;
		source_warn(s, "%s: the member '%s' is no input of the model and is ignored", p->path,
		            archive_name(zip, i));
		s->warned_extra = true;
		return;
	}
}

static void warn_of_extra_arrays(struct data_source *s, const struct piece *p)
{
	const char *key;
	json_t *value;

	if (s->warned_extra)
		return;
	json_object_foreach(p->feed, key, value) {
		bool known = false;

		for (int k = 0; k < s->n_inputs; k++)
			known = known || strcmp(key, s->inputs[k].name) == 0;
		if (known)
			continue;
		source_warn(s, "%s: the array '%s' is no input of the model and is ignored", p->path, key);
		s->warned_extra = true;
		return;
	}
}

static enum tamis_status array_bytes(const struct piece *p, zip_t *zip, const struct data_input *in, int i,
                                     struct bytes *out, struct tamis_error *err)
{
	if (p->kind == PIECE_ARCHIVE) {
		enum tamis_status status = member_bytes(zip, in->name, out, err);

		return status == TAMIS_OK ? kept_take(p, i, out, err) : status;
	}
	if (p->kind == PIECE_FEED)
		return feed_bytes(p->feed, in->name, out, err);
	return bytes_from_file(out, p->paths[i], err);
}

static enum tamis_status open_column(struct data_source *s, const struct piece *p, struct table *t, int i,
                                     struct tamis_error *err)
{
	const struct data_input *in = &s->inputs[i];
	struct bytes bytes = {0};
	enum tamis_status status = array_bytes(p, t->zip, in, i, &bytes, err);

	if (status == TAMIS_OK)
		status = column_open(&t->columns[i], &bytes, in, s->options.max_memory, err);
	if (status != TAMIS_OK) {
		tm_in_file(err, p->kind == PIECE_ARRAYS ? p->paths[i] : p->path);
		tm_in_tensor(err, in->name);
		return status;
	}
	if (t->columns[i].narrowed && !s->warned_narrowed[i]) {
		source_warn(s, "%s: the array for '%s' is float64 and is narrowed to the float the input expects",
		            p->path, in->name);
		s->warned_narrowed[i] = true;
	}
	t->whole = t->whole || t->columns[i].whole;
	return TAMIS_OK;
}

static enum tamis_status check_items(struct data_source *s, const struct piece *p, struct table *t,
                                     struct tamis_error *err)
{
	t->items = t->n ? t->columns[0].items : 0;
	for (int i = 1; i < t->n; i++) {
		if (t->columns[i].items == t->items)
			continue;
		tm_fail(err, TAMIS_E_INVALID, "the array has %lld items, and the one for '%s' has %lld",
		        (long long)t->columns[i].items, s->inputs[0].name, (long long)t->items);
		tm_in_file(err, p->kind == PIECE_ARRAYS ? p->paths[i] : p->path);
		tm_in_tensor(err, s->inputs[i].name);
		return TAMIS_E_INVALID;
	}
	return TAMIS_OK;
}

static enum tamis_status open_columns(struct data_source *s, const struct piece *p, struct table *t,
                                      struct tamis_error *err)
{
	enum tamis_status status = TAMIS_OK;

	t->columns = tm_array((size_t)t->n, sizeof *t->columns);
	if (!t->columns)
		return tm_no_memory(err, "opening calibration data");
	if (p->kind == PIECE_ARCHIVE)
		status = archive_open(p->path, &t->zip, err);
	for (int i = 0; i < t->n && status == TAMIS_OK; i++)
		status = open_column(s, p, t, i, err);
	if (status != TAMIS_OK)
		return status;
	if (p->kind == PIECE_ARCHIVE)
		warn_of_extra(s, p, t->zip);
	if (p->kind == PIECE_FEED)
		warn_of_extra_arrays(s, p);
	return check_items(s, p, t, err);
}

enum tamis_status table_open(struct data_source *s, const struct piece *p, struct table *out,
                             struct tamis_error *err)
{
	enum tamis_status status = TAMIS_OK;

	*out = (struct table){.n = s->n_inputs};
	if (p->kind == PIECE_RANDOM) {
		out->items = s->options.random;
		out->whole = random_is_whole(s);
	} else if (p->kind == PIECE_SET) {
		status = set_open(s, p, out, err);
	} else {
		status = open_columns(s, p, out, err);
	}
	if (status != TAMIS_OK) {
		tm_in_file(err, p->path);
		table_close(out);
	}
	return status;
}

void table_close(struct table *t)
{
	for (int i = 0; i < t->n; i++) {
		if (t->columns)
			column_close(&t->columns[i]);
		if (t->tensors)
			tensor_free(&t->tensors[i]);
		if (t->files)
			tensor_file_free(t->files[i]);
	}
	free(t->columns);
	free(t->tensors);
	free(t->files);
	if (t->zip)
		zip_discard(t->zip);
	*t = (struct table){0};
}
