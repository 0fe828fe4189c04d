/* SPDX-License-Identifier: Apache-2.0 */
/* From what the user typed to a list of pieces. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/source.h"

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "opening calibration data");
}

static enum tamis_status add_piece(struct data_source *s, struct piece p, struct tamis_error *err)
{
	void *grown = s->pieces;

	if (!tm_grow(&grown, &s->cap_pieces, s->n_pieces + 1, sizeof p))
		return no_memory(err);
	s->pieces = grown;
	s->pieces[s->n_pieces++] = p;
	return TAMIS_OK;
}

static enum tamis_status add_arrays(struct data_source *s, const char *path, struct tamis_error *err)
{
	const char **paths;

	if (s->n_inputs != 1)
		return tm_fail(err, TAMIS_E_INVALID, "a .npy file alone serves a model of one input, and this one has "
		               "%d: name each as NAME:FILE.npy or use a .npz", s->n_inputs);
	paths = arena_array(&s->arena, 1, sizeof *paths);
	if (!paths)
		return no_memory(err);
	paths[0] = path;
	return add_piece(s, (struct piece){.kind = PIECE_ARRAYS, .path = path, .paths = paths}, err);
}

static enum tamis_status add_feeds(struct data_source *s, const char *path, struct tamis_error *err)
{
	void *grown = s->lists;
	json_t *list;
	enum tamis_status status = feeds_load(path, s->options.max_memory, &list, err);

	if (status != TAMIS_OK)
		return status;
	if (!tm_grow(&grown, &s->cap_lists, s->n_lists + 1, sizeof *s->lists)) {
		json_decref(list);
		return no_memory(err);
	}
	s->lists = grown;
	s->lists[s->n_lists++] = list;
	for (size_t i = 0; i < json_array_size(list) && status == TAMIS_OK; i++)
		status = add_piece(s, (struct piece){.kind = PIECE_FEED, .path = path,
		                                     .feed = json_array_get(list, i), .feed_number = i}, err);
	return status;
}

/* Told by their first bytes. A JSON text starts with a bracket, perhaps after spaces. */
static enum tamis_status add_file(struct data_source *s, const char *path, struct tamis_error *err)
{
	struct bytes b;
	char start[16] = "";
	const char *p = start;
	enum tamis_status status = bytes_from_file(&b, path, err);

	if (status == TAMIS_OK)
		status = bytes_read(&b, start, b.size < 15 ? (size_t)b.size : 15, err);
	bytes_close(&b);
	if (status != TAMIS_OK)
		return status;
	if (memcmp(start, "\x93NUMPY", 6) == 0)
		return add_arrays(s, path, err);
	if (memcmp(start, "PK\3\4", 4) == 0 || memcmp(start, "PK\5\6", 4) == 0)
		return add_piece(s, (struct piece){.kind = PIECE_ARCHIVE, .path = path}, err);
	p += strspn(p, " \t\r\n");
	if (*p == '[' || *p == '{')
		return add_feeds(s, path, err);
	if (start[0] == '\0')
		return tm_fail(err, TAMIS_E_INVALID, "the file is empty; a .npz, a .npy or a JSON list of feeds was "
		               "expected");
	return tm_fail(err, TAMIS_E_INVALID, "the file is neither .npz nor .npy nor a JSON list of feeds");
}

/* ---- directories ---- */

struct listing {
	char **names; /* in the arena; the array is malloc'ed */
	size_t n, cap;
};

/* Numbers inside names compare as numbers, so that set_2 comes before set_10. */
static int natural_order(const void *a, const void *b)
{
	const char *x = *(char *const *)a, *y = *(char *const *)b;

	while (*x && *y) {
		size_t digits_x, digits_y;
		int order;

		if (!(*x >= '0' && *x <= '9' && *y >= '0' && *y <= '9')) {
			if (*x != *y)
				return (unsigned char)*x < (unsigned char)*y ? -1 : 1;
			x++, y++;
			continue;
		}
		x += strspn(x, "0");
		y += strspn(y, "0");
		digits_x = strspn(x, "0123456789");
		digits_y = strspn(y, "0123456789");
		order = digits_x != digits_y ? (digits_x < digits_y ? -1 : 1) : memcmp(x, y, digits_x);
		if (order)
			return order;
		x += digits_x;
		y += digits_y;
	}
	if (*x || *y)
		return *x ? 1 : -1;
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum tamis_status list_directory(struct data_source *s, const char *dir, struct listing *l,
                                        struct tamis_error *err)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	enum tamis_status status = TAMIS_OK;

	if (!d)
		return tm_fail(err, TAMIS_E_INVALID, "the directory cannot be read: %m");
	while ((errno = 0, entry = readdir(d))) {
		void *grown = l->names;

		if (entry->d_name[0] == '.')
			continue;
		if (!tm_grow(&grown, &l->cap, l->n + 1, sizeof *l->names))
			break;
		l->names = grown;
		l->names[l->n] = arena_strdup(&s->arena, entry->d_name);
		if (!l->names[l->n])
			break;
		l->n++;
	}
	if (entry)
		status = no_memory(err);
	else if (errno)
		status = tm_fail(err, TAMIS_E_INVALID, "the directory cannot be read: %m");
	closedir(d);
	if (l->n > 1)
		qsort(l->names, l->n, sizeof *l->names, natural_order);
	return status;
}

static bool ends_with(const char *name, const char *end)
{
	size_t len = strlen(name), tail = strlen(end);

	return len > tail && strcmp(name + len - tail, end) == 0;
}

static bool is_set(const char *name)
{
	static const char stem[] = "test_data_set_";
	const char *number = name + sizeof stem - 1;

	return strncmp(name, stem, sizeof stem - 1) == 0 && *number &&
	       number[strspn(number, "0123456789")] == '\0';
}

static bool is_set_file(const char *name)
{
	static const char stem[] = "input_";

	return strncmp(name, stem, sizeof stem - 1) == 0 && ends_with(name, ".pb");
}

static bool any(const struct listing *l, bool (*matches)(const char *))
{
	for (size_t i = 0; i < l->n; i++)
		if (matches(l->names[i]))
			return true;
	return false;
}

static bool is_array_file(const char *name)
{
	return ends_with(name, ".npz") || ends_with(name, ".npy");
}

static enum tamis_status add_entries(struct data_source *s, const char *dir, const struct listing *l,
                                     bool sets, struct tamis_error *err)
{
	enum tamis_status status = TAMIS_OK;

	for (size_t i = 0; i < l->n && status == TAMIS_OK; i++) {
		char *path;

		if (!(sets ? is_set : is_array_file)(l->names[i]))
			continue;
		path = arena_printf(&s->arena, "%s/%s", dir, l->names[i]);
		if (!path)
			return no_memory(err);
		if (sets)
			status = add_piece(s, (struct piece){.kind = PIECE_SET, .path = path}, err);
		else
			status = add_file(s, path, err);
		if (status != TAMIS_OK)
			tm_in_file(err, path);
	}
	return status;
}

static enum tamis_status add_directory(struct data_source *s, const char *dir, struct tamis_error *err)
{
	struct listing l = {0};
	enum tamis_status status = list_directory(s, dir, &l, err);

	if (status == TAMIS_OK && any(&l, is_set))
		status = add_entries(s, dir, &l, true, err);
	else if (status == TAMIS_OK && any(&l, is_set_file))
		status = add_piece(s, (struct piece){.kind = PIECE_SET, .path = dir}, err);
	else if (status == TAMIS_OK && any(&l, is_array_file))
		status = add_entries(s, dir, &l, false, err);
	else if (status == TAMIS_OK)
		status = tm_fail(err, TAMIS_E_INVALID, "the directory holds no .npz or .npy files and no "
		                 "test_data_set_N");
	free(l.names);
	return status;
}

/* ---- specs ---- */

/* "NAME:FILE" for an input of that name; names may hold colons themselves ("image:0"), so the longest
 * wins. */
static int paired_input(const struct data_source *s, const char *spec)
{
	int best = -1;
	size_t longest = 0;

	for (int i = 0; i < s->n_inputs; i++) {
		size_t len = strlen(s->inputs[i].name);

		if (strncmp(spec, s->inputs[i].name, len) == 0 && spec[len] == ':' && (best < 0 || len > longest)) {
			best = i;
			longest = len;
		}
	}
	return best;
}

static enum tamis_status add_pair(struct data_source *s, int input, const char *path, struct tamis_error *err)
{
	if (s->paired[input]) {
		tm_fail(err, TAMIS_E_USAGE, "two files are named for one input: %s and %s", s->paired[input], path);
		tm_in_tensor(err, s->inputs[input].name);
		return TAMIS_E_USAGE;
	}
	s->paired[input] = path;
	return TAMIS_OK;
}

enum tamis_status pieces_add_paired(struct data_source *s, struct tamis_error *err)
{
	const char *first = NULL;

	for (int i = 0; i < s->n_inputs; i++)
		if (s->paired[i] && !first)
			first = s->paired[i];
	if (!first)
		return TAMIS_OK;
	for (int i = 0; i < s->n_inputs; i++)
		if (!s->paired[i]) {
			tm_fail(err, TAMIS_E_INVALID, "no file is named for this input, as others are by NAME:FILE.npy");
			tm_in_tensor(err, s->inputs[i].name);
			return TAMIS_E_INVALID;
		}
	return add_piece(s, (struct piece){.kind = PIECE_ARRAYS, .path = first, .paths = s->paired}, err);
}

static enum tamis_status add_path(struct data_source *s, const char *path, struct tamis_error *err)
{
	struct stat st;
	const char *colon = strchr(path, ':');

	if (stat(path, &st) == 0)
		return S_ISDIR(st.st_mode) ? add_directory(s, path, err) : add_file(s, path, err);
	if (colon && errno == ENOENT)
		return tm_fail(err, TAMIS_E_INVALID, "there is no such file, and no input of the model is named "
		               "'%.*s'", (int)(colon - path), path);
	return tm_fail(err, TAMIS_E_INVALID, "the calibration data cannot be opened: %m");
}

enum tamis_status pieces_add(struct data_source *s, const char *spec, struct tamis_error *err)
{
	int input = paired_input(s, spec);
	char *path = arena_strdup(&s->arena, input < 0 ? spec : spec + strlen(s->inputs[input].name) + 1);
	enum tamis_status status;

	if (!path)
		return no_memory(err);
	status = input < 0 ? add_path(s, path, err) : add_pair(s, input, path, err);
	if (status != TAMIS_OK)
		tm_in_file(err, path);
	return status;
}

enum tamis_status pieces_add_random(struct data_source *s, struct tamis_error *err)
{
	for (int i = 0; i < s->n_inputs; i++) {
		const struct data_input *in = &s->inputs[i];
		bool open = in->rank < 0;

		for (int k = 1; k < in->rank; k++)
			open = open || in->dims[k] < 0;
		if (open)
			tm_fail(err, TAMIS_E_INVALID, "random items need every dimension after the first to be known: "
			        "give the shape of this input with --shape");
		else if (in->type == DT_STRING || !dtype_known((int)in->type))
			tm_fail(err, TAMIS_E_UNSUPPORTED, "random items cannot be made of type %s",
			        dtype_name((int)in->type));
		else
			continue;
		tm_in_tensor(err, in->name);
		return open ? TAMIS_E_INVALID : TAMIS_E_UNSUPPORTED;
	}
	return add_piece(s, (struct piece){.kind = PIECE_RANDOM, .path = "random items"}, err);
}
