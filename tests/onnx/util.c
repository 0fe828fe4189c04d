/* SPDX-License-Identifier: Apache-2.0 */
#include "util.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TESTDATA "/usr/share/libonnx-testdata/data"

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

void bytes_add(struct bytes *b, const void *data, size_t size)
{
	if (b->size + size > b->cap) {
		b->cap = 2 * (b->size + size) + 64;
		b->data = must(realloc(b->data, b->cap));
	}
	if (size)
		memcpy(b->data + b->size, data, size);
	b->size += size;
}

void bytes_varint(struct bytes *b, uint64_t v)
{
	do {
		uint8_t octet = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
		bytes_add(b, &octet, 1);
		v >>= 7;
	} while (v);
}

void bytes_int(struct bytes *b, unsigned field, uint64_t v)
{
	bytes_varint(b, (uint64_t)field << 3);
	bytes_varint(b, v);
}

void bytes_field(struct bytes *b, unsigned field, const void *data, size_t size)
{
	bytes_varint(b, (uint64_t)field << 3 | 2);
	bytes_varint(b, size);
	bytes_add(b, data, size);
}

void bytes_text(struct bytes *b, unsigned field, const char *text)
{
	bytes_field(b, field, text, strlen(text));
}

void bytes_message(struct bytes *b, unsigned field, struct bytes *inner)
{
	bytes_field(b, field, inner->data, inner->size);
	bytes_free(inner);
}

void bytes_free(struct bytes *b)
{
	free(b->data);
	*b = (struct bytes){ 0 };
}

struct bytes value_info(const char *name, int type, int n_dims, const int64_t *dims)
{
	struct bytes v = { 0 }, outer = { 0 }, tensor = { 0 }, shape = { 0 };
	for (int i = 0; i < n_dims; i++) {
		struct bytes dim = { 0 };
		bytes_int(&dim, 1, (uint64_t)dims[i]);
		bytes_message(&shape, 1, &dim);
	}
	bytes_int(&tensor, 1, (uint64_t)type);
	bytes_message(&tensor, 2, &shape);
	bytes_message(&outer, 1, &tensor);
	bytes_text(&v, 1, name);
	bytes_message(&v, 2, &outer);
	return v;
}

static void names_field(struct bytes *b, unsigned field, const char *names)
{
	while (*names) {
		size_t n = strcspn(names, " ");
		bytes_field(b, field, names, n);
		names += n;
		names += *names == ' ';
	}
}

struct bytes node(const char *op_type, const char *name, const char *inputs, const char *outputs)
{
	struct bytes n = { 0 };
	names_field(&n, 1, inputs);
	names_field(&n, 2, outputs);
	if (name)
		bytes_text(&n, 3, name);
	bytes_text(&n, 4, op_type);
	return n;
}

struct bytes graph_named(const char *name)
{
	struct bytes g = { 0 };
	bytes_text(&g, 2, name);
	return g;
}

struct bytes model_of(struct bytes *graph)
{
	struct bytes m = { 0 }, opset = { 0 };
	bytes_int(&m, 1, 8);
	bytes_message(&m, 7, graph);
	bytes_int(&opset, 2, 13);
	bytes_message(&m, 8, &opset);
	return m;
}

struct bytes small_model(void)
{
	static const int64_t dims[] = { 2, 3 };
	static const float w[] = { 1, 0, -2 };
	struct bytes g = { 0 }, t = { 0 }, part = node("Add", "add", "x w", "y");
	bytes_message(&g, 1, &part);
	bytes_text(&g, 2, "g");
	bytes_int(&t, 1, 3);
	bytes_int(&t, 2, DT_FLOAT);
	bytes_text(&t, 8, "w");
	bytes_field(&t, 9, w, sizeof w);
	bytes_message(&g, 5, &t);
	part = value_info("x", DT_FLOAT, 2, dims);
	bytes_message(&g, 11, &part);
	part = value_info("y", DT_FLOAT, 2, dims);
	bytes_message(&g, 12, &part);
	return model_of(&g);
}

struct document *small_document(void)
{
	struct bytes m = small_model();
	struct document *doc;
	if (load(&m, &doc, NULL) != TAMIS_OK)
		abort();
	bytes_free(&m);
	return doc;
}

enum tamis_status load(const struct bytes *b, struct document **doc, struct tamis_error *err)
{
	tamis_error_clear(err);
	return doc_load_memory(b->data, b->size, NULL, NULL, doc, err);
}

char *scratch_make(void)
{
	const char *base = getenv("TMPDIR");
	char *dir = path_in(base && *base ? base : "/tmp", "tamis-onnx-XXXXXX");
	return must(mkdtemp(dir));
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *walk)
{
	(void)st, (void)flag, (void)walk;
	return remove(path);
}

void scratch_remove(char *dir)
{
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(dir);
}

char *path_in(const char *dir, const char *name)
{
	size_t room = strlen(dir) + strlen(name) + 2;
	char *path = must(malloc(room));
	snprintf(path, room, "%s/%s", dir, name);
	return path;
}

void write_file(const char *path, const void *data, size_t size)
{
	FILE *f = must(fopen(path, "wb"));
	if (fwrite(data, 1, size, f) != size || fclose(f) != 0)
		abort();
}

uint8_t *read_whole(const char *path, size_t *size)
{
	struct bytes b = { 0 };
	uint8_t buf[4096];
	size_t n;
	FILE *f = fopen(path, "rb");
	*size = 0;
	if (!f)
		return NULL;
	while ((n = fread(buf, 1, sizeof buf, f)) > 0)
		bytes_add(&b, buf, n);
	fclose(f);
	*size = b.size;
	return b.data ? b.data : must(malloc(1));
}

static void add_models(char ***list, size_t *n, const char *kind)
{
	char *dir = path_in(TESTDATA, kind);
	DIR *d = opendir(dir);
	for (struct dirent *e; d && (e = readdir(d));) {
		char *sub = path_in(dir, e->d_name), *model = path_in(sub, "model.onnx");
		free(sub);
		if (access(model, R_OK) != 0) {
			free(model);
			continue;
		}
		*list = must(realloc(*list, (*n + 2) * sizeof **list));
		(*list)[(*n)++] = model;
		(*list)[*n] = NULL;
	}
	if (d)
		closedir(d);
	free(dir);
}

char **testdata_models(size_t *n)
{
	char **list = must(calloc(1, sizeof *list));
	DIR *d = opendir(TESTDATA);
	*n = 0;
	for (struct dirent *e; d && (e = readdir(d));)
		if (e->d_name[0] != '.')
			add_models(&list, n, e->d_name);
	if (d)
		closedir(d);
	return list;
}

void testdata_free(char **list)
{
	for (char **p = list; *p; p++)
		free(*p);
	free(list);
}

uint64_t draw(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void draw_strings(struct tensor *t, uint64_t *state)
{
	static const char pool[] = "a\0b\xff<script>\xc3\xa9, a pool of bytes";
	struct tm_string *s = t->data;
	for (int64_t i = 0; i < t->count; i++) {
		size_t at = draw(state) % (sizeof pool - 1);
		s[i] = (struct tm_string){ pool + at, draw(state) % (sizeof pool - at) };
	}
}

struct tensor drawn_tensor(enum dtype type, int rank, const int64_t *dims, uint64_t *state)
{
	struct tensor t = { 0 };
	if (tensor_shape(&t, type, rank, dims, NULL) != TAMIS_OK || tensor_alloc(&t, NULL) != TAMIS_OK)
		abort();
	if (type == DT_STRING) {
		draw_strings(&t, state);
		return t;
	}
	uint8_t *p = t.data;
	size_t n = tensor_bytes(&t);
	int bits = dtype_bits((int)type);
	for (size_t i = 0; i < n; i++) {
		uint64_t r = draw(state);
		p[i] = r % 4 == 0 ? (uint8_t)((r >> 8) % 2 ? 0xff : 0) : (uint8_t)(r >> 16);
		if (type == DT_BOOL)
			p[i] &= 1;
	}
	if (n && bits < 8 && t.count * bits % 8)
		p[n - 1] &= (uint8_t)((1 << (t.count * bits % 8)) - 1);
	return t;
}

bool same_tensor(const struct tensor *a, const struct tensor *b)
{
	if (a->type != b->type || !tensor_same_shape(a, b))
		return false;
	if (a->type != DT_STRING)
		return memcmp(a->data, b->data, tensor_bytes(a)) == 0;
	const struct tm_string *s = a->data, *t = b->data;
	for (int64_t i = 0; i < a->count; i++)
		if (s[i].len != t[i].len || (s[i].len && memcmp(s[i].data, t[i].data, s[i].len) != 0))
			return false;
	return true;
}
