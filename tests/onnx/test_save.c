/* SPDX-License-Identifier: Apache-2.0 */
/* Guarantees 3, 4 and 5: external data in and out, and the output all or nothing. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "onnx/check.h"
#include "onnx/edit.h"
#include "onnx/payload.h"
#include "util.h"

/* The small model with a second initializer of n floats, i / 2 each. */
static struct document *with_weights(int64_t n)
{
	struct document *doc = small_document();
	struct tensor t = { 0 };
	Onnx__TensorProto *p;
	cr_assert_eq(tensor_shape(&t, DT_FLOAT, 1, &n, NULL), TAMIS_OK);
	cr_assert_eq(tensor_alloc(&t, NULL), TAMIS_OK);
	for (int64_t i = 0; i < n; i++)
		((float *)t.data)[i] = (float)i / 2;
	cr_assert_eq(payload_new(doc, "big", &t, &p, NULL), TAMIS_OK);
	cr_assert_eq(edit_add_initializer(doc, doc->model->graph, p, NULL), TAMIS_OK);
	tensor_free(&t);
	return doc;
}

static int files_in(const char *dir)
{
	int n = 0;
	DIR *d = opendir(dir);
	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.' || strlen(e->d_name) > 2;
	closedir(d);
	return n;
}

static struct document *reload(const char *path)
{
	struct document *doc;
	struct tamis_error err = { 0 };
	cr_assert_eq(doc_load(path, NULL, &doc, &err), TAMIS_OK, "%s: %s", path, err.message);
	cr_assert_eq(check_or_fail(doc, &err), TAMIS_OK, "%s: %s", path, err.message);
	return doc;
}

static const char *entry(const Onnx__TensorProto *t, const char *key)
{
	for (size_t i = 0; i < t->n_external_data; i++)
		if (strcmp(t->external_data[i]->key, key) == 0)
			return t->external_data[i]->value;
	return NULL;
}

static void has_weights(const struct document *doc, int64_t n)
{
	struct tensor t;
	struct tamis_error err = { 0 };
	cr_assert_eq(payload_read(doc, doc->model->graph->initializer[1], &t, &err), TAMIS_OK, "%s", err.message);
	cr_assert_eq(t.count, n);
	for (int64_t i = 0; i < n; i++)
		cr_assert_eq(((float *)t.data)[i], (float)i / 2);
	tensor_free(&t);
}

Test(save, what_is_written_is_what_was_read)
{
	char *dir = scratch_make(), *a = path_in(dir, "a.onnx"), *b = path_in(dir, "b.onnx");
	struct bytes m = small_model();
	struct tamis_error err = { 0 };
	write_file(a, m.data, m.size);
	struct document *doc = reload(a);
	cr_assert_str_eq(doc->dir, dir);
	cr_assert_eq(doc_save(doc, b, NULL, &err), TAMIS_OK, "%s", err.message);
	size_t size;
	uint8_t *data = read_whole(b, &size);
	cr_assert_eq(size, m.size);
	cr_assert_arr_eq(data, m.data, size);
	cr_assert_eq(files_in(dir), 2);
	doc_free(doc);
	free(data);
	bytes_free(&m);
	free(a);
	free(b);
	scratch_remove(dir);
}

Test(save, the_input_is_replaced_only_on_demand)
{
	char *dir = scratch_make(), *a = path_in(dir, "a.onnx"), *link_path = path_in(dir, "b.onnx");
	struct bytes m = small_model();
	struct tamis_error err = { 0 };
	struct doc_save_options in_place = { .in_place = true };
	write_file(a, m.data, m.size);
	cr_assert_eq(link(a, link_path), 0);
	struct document *doc = reload(a);
	cr_assert_eq(edit_set_metadata(doc, "k", "v", NULL), TAMIS_OK);
	cr_assert_eq(doc_save(doc, a, NULL, &err), TAMIS_E_USAGE);
	cr_assert(strstr(err.message, "--in-place"), "%s", err.message);
	cr_assert_eq(doc_save(doc, link_path, NULL, NULL), TAMIS_E_USAGE, "the same inode under another name");
	cr_assert_eq(doc_save(doc, a, &in_place, NULL), TAMIS_OK);
	struct document *again = reload(a);
	cr_assert_str_eq(edit_get_metadata(again, "k"), "v");
	doc_free(again);
	doc_free(doc);
	bytes_free(&m);
	free(a);
	free(link_path);
	scratch_remove(dir);
}

Test(save, an_invalid_tree_is_not_put_in_place)
{
	char *dir = scratch_make(), *a = path_in(dir, "a.onnx");
	struct document *doc = small_document();
	struct tamis_error err = { 0 };
	write_file(a, "old", 3);
	edit_remove_initializer(doc, doc->model->graph, 0);
	cr_assert_eq(doc_save(doc, a, NULL, &err), TAMIS_E_INTERNAL);
	cr_assert(strstr(err.message, "input-undefined"), "%s", err.message);
	cr_assert_str_eq(err.file, a);
	size_t size;
	uint8_t *data = read_whole(a, &size);
	cr_assert_eq(size, 3u);
	cr_assert_arr_eq(data, "old", 3);
	cr_assert_eq(files_in(dir), 1);
	doc_free(doc);
	free(data);
	free(a);
	scratch_remove(dir);
}

Test(save, outputs_that_cannot_be_written)
{
	static const char *const paths[] = { "/nonexistent/a.onnx", "/tmp", "/dev/full" };
	struct document *doc = with_weights(100000);
	for (size_t i = 0; i < 3; i++) {
		struct tamis_error err = { 0 };
		cr_assert_eq(doc_save(doc, paths[i], NULL, &err), TAMIS_E_OUTPUT, "%s: %s", paths[i], err.message);
		cr_assert_str_eq(err.file, paths[i]);
		cr_assert(err.message[0]);
	}
	doc_free(doc);
}

Test(save, external_data_out_and_in)
{
	char *dir = scratch_make(), *a = path_in(dir, "model.onnx"), *other = path_in(dir, "sub");
	struct doc_save_options all = { .external = DOC_EXTERNAL_ALL }, none = { .external = DOC_EXTERNAL_NONE };
	struct tamis_error err = { 0 };
	struct document *doc = with_weights(5000);
	uint8_t *before, *after;
	size_t n_before, n_after;
	cr_assert_eq(doc_pack(doc, &before, &n_before, NULL), TAMIS_OK);
	cr_assert_eq(doc_save(doc, a, &all, &err), TAMIS_OK, "%s", err.message);
	cr_assert_eq(doc_pack(doc, &after, &n_after, NULL), TAMIS_OK);
	cr_assert_eq(n_before, n_after, "saving changed the tree");
	cr_assert_arr_eq(before, after, n_before);
	cr_assert_eq(files_in(dir), 2);

	struct document *ext = reload(a);
	const Onnx__TensorProto *t = ext->model->graph->initializer[1];
	cr_assert_eq(t->data_location, ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL);
	cr_assert_not(t->has_raw_data);
	cr_assert_str_eq(entry(t, "length"), "20000");
	cr_assert_eq(strncmp(entry(t, "location"), "model-", 6), 0);
	cr_assert_eq(strlen(entry(t, "location")), strlen("model-0123456789abcdef.data"));
	cr_assert(ext->model->graph->initializer[0]->has_raw_data, "twelve bytes stay");
	has_weights(ext, 5000);

	/* Unchanged, into the same directory: the reference is kept, byte for byte. */
	char *b = path_in(dir, "again.onnx");
	cr_assert_eq(doc_save(ext, b, NULL, &err), TAMIS_OK, "%s", err.message);
	size_t size_a, size_b;
	uint8_t *data_a = read_whole(a, &size_a), *data_b = read_whole(b, &size_b);
	cr_assert_eq(size_a, size_b);
	cr_assert_arr_eq(data_a, data_b, size_a);
	cr_assert_eq(files_in(dir), 3);

	/* Into another directory: the data comes along. */
	cr_assert_eq(mkdir(other, 0700), 0);
	char *c = path_in(other, "c.onnx");
	cr_assert_eq(doc_save(ext, c, NULL, &err), TAMIS_OK, "%s", err.message);
	cr_assert_eq(files_in(other), 2);
	struct document *moved = reload(c);
	has_weights(moved, 5000);
	doc_free(moved);

	/* Embedded again: the bytes of the start. */
	char *d = path_in(other, "d.onnx");
	cr_assert_eq(doc_save(ext, d, &none, &err), TAMIS_OK, "%s", err.message);
	size_t size_d;
	uint8_t *data_d = read_whole(d, &size_d);
	cr_assert_eq(size_d, n_before);
	cr_assert_arr_eq(data_d, before, size_d);

	doc_free(ext);
	doc_free(doc);
	free(before), free(after), free(data_a), free(data_b), free(data_d);
	free(a), free(b), free(c), free(d), free(other);
	scratch_remove(dir);
}

Test(save, offsets_are_aligned_and_content_names_the_file)
{
	char *dir = scratch_make(), *a = path_in(dir, "m.onnx"), *b = path_in(dir, "n.onnx");
	struct doc_save_options all = { .external = DOC_EXTERNAL_ALL, .threshold = 1 };
	struct document *doc = with_weights(3000);
	cr_assert_eq(doc_save(doc, a, &all, NULL), TAMIS_OK);
	struct document *ext = reload(a);
	Onnx__TensorProto **t = ext->model->graph->initializer;
	cr_assert_str_eq(entry(t[0], "offset"), "0");
	cr_assert_str_eq(entry(t[1], "offset"), "4096");
	cr_assert_str_eq(entry(t[0], "location"), entry(t[1], "location"));
	char *data = path_in(dir, entry(t[0], "location"));
	struct stat first, second;
	cr_assert_eq(stat(data, &first), 0);
	cr_assert_eq(first.st_size, 4096 + 12000);

	/* The same again: the data file is found and left alone. */
	struct doc_save_options again = all;
	again.in_place = true;
	cr_assert_eq(doc_save(doc, a, &again, NULL), TAMIS_OK);
	cr_assert_eq(stat(data, &second), 0);
	cr_assert_eq(first.st_ino, second.st_ino);

	/* Other content under that name: kept, and another name is found. */
	write_file(data, "precious", 8);
	cr_assert_eq(doc_save(doc, a, &again, NULL), TAMIS_OK);
	size_t size;
	uint8_t *kept = read_whole(data, &size);
	cr_assert_eq(size, 8u);
	struct document *third = reload(a);
	cr_assert(strstr(entry(third->model->graph->initializer[0], "location"), "-1.data"));
	has_weights(third, 3000);
	doc_free(third);
	doc_free(ext);
	doc_free(doc);
	free(kept), free(data), free(a), free(b);
	scratch_remove(dir);
}

Test(save, rewritten_external_tensors_get_a_new_file)
{
	char *dir = scratch_make(), *a = path_in(dir, "m.onnx"), *b = path_in(dir, "n.onnx");
	struct doc_save_options all = { .external = DOC_EXTERNAL_ALL };
	struct document *doc = with_weights(3000), *ext, *again;
	struct tensor t, back;
	struct tamis_error err = { 0 };
	cr_assert_eq(doc_save(doc, a, &all, NULL), TAMIS_OK);
	ext = reload(a);
	Onnx__TensorProto *p = ext->model->graph->initializer[1];
	cr_assert_eq(payload_read(ext, p, &t, NULL), TAMIS_OK);
	tensor_set(&t, 17, -1234);
	cr_assert_eq(payload_write(ext, p, &t, NULL), TAMIS_OK);
	cr_assert_eq(check_or_fail(ext, &err), TAMIS_OK, "%s", err.message);
	cr_assert_eq(payload_read(ext, p, &back, NULL), TAMIS_OK);
	cr_assert(same_tensor(&t, &back));
	tensor_free(&back);
	cr_assert_eq(doc_save(ext, b, NULL, &err), TAMIS_OK, "%s", err.message);
	again = reload(b);
	cr_assert_eq(payload_read(again, again->model->graph->initializer[1], &back, NULL), TAMIS_OK);
	cr_assert(same_tensor(&t, &back));
	cr_assert_eq(files_in(dir), 4);
	struct document *old = reload(a);
	has_weights(old, 3000);
	doc_free(old);
	tensor_free(&back);
	tensor_free(&t);
	doc_free(doc);
	doc_free(ext);
	doc_free(again);
	free(a), free(b);
	scratch_remove(dir);
}

Test(save, a_failed_save_leaves_no_data_file)
{
	char *dir = scratch_make(), *a = path_in(dir, "m.onnx");
	struct doc_save_options all = { .external = DOC_EXTERNAL_ALL };
	struct document *doc = with_weights(3000);
	edit_remove_initializer(doc, doc->model->graph, 0);
	cr_assert_eq(doc_save(doc, a, &all, NULL), TAMIS_E_INTERNAL);
	cr_assert_eq(files_in(dir), 0);
	cr_assert_eq(doc_save(doc, "-", &all, NULL), TAMIS_E_USAGE);
	doc_free(doc);
	free(a);
	scratch_remove(dir);
}

/* --- reading external data ------------------------------------------------------------------------------ */

/* A document below dir whose initializer "w", three floats, is external with these entries (NULL: left out).
 * */
static struct document *external(const char *dir, const char *location, const char *offset,
                                 const char *length)
{
	struct bytes m = small_model();
	struct document *doc;
	cr_assert_eq(doc_load_memory(m.data, m.size, dir, NULL, &doc, NULL), TAMIS_OK);
	bytes_free(&m);
	Onnx__TensorProto *t = doc->model->graph->initializer[0];
	edit_bytes(doc, &t->has_raw_data, &t->raw_data, NULL, 0, NULL);
	t->has_data_location = 1;
	t->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
	const char *pairs[][2] = { { "location", location }, { "offset", offset }, { "length", length } };
	for (size_t i = 0; i < 3; i++) {
		if (!pairs[i][1])
			continue;
		Onnx__StringStringEntryProto *e = edit_new(doc, &onnx__string_string_entry_proto__descriptor);
		edit_string(doc, &e->key, pairs[i][0], NULL);
		edit_string(doc, &e->value, pairs[i][1], NULL);
		edit_insert(doc, &t->n_external_data, &t->external_data, t->n_external_data, e, NULL);
	}
	return doc;
}

static void read_fails(const char *dir, const char *location, const char *offset, const char *length,
                       const char *words)
{
	struct document *doc = external(dir, location, offset, length);
	struct tensor out;
	struct tamis_error err = { 0 };
	cr_assert_eq(payload_read(doc, doc->model->graph->initializer[0], &out, &err), TAMIS_E_INVALID, "%s %s %s",
	             location, offset, length);
	cr_assert(strstr(err.message, words), "'%s' is not in: %s", words, err.message);
	cr_assert_str_eq(err.tensor, "w");
	cr_assert_null(out.data);
	doc_free(doc);
}

static void read_works(const char *dir, const char *location, const char *offset, const char *length)
{
	struct document *doc = external(dir, location, offset, length);
	struct tensor out;
	struct tamis_error err = { 0 };
	cr_assert_eq(payload_read(doc, doc->model->graph->initializer[0], &out, &err), TAMIS_OK, "%s", err.message);
	cr_assert_eq(((float *)out.data)[2], 3);
	tensor_free(&out);
	doc_free(doc);
}

static size_t linked(const struct document *doc)
{
	struct check_report r;
	size_t n = 0;
	cr_assert_eq(check_document(doc, NULL, &r, NULL), TAMIS_OK);
	for (size_t i = 0; i < r.count; i++)
		n += strcmp(r.findings[i].rule->id, "external-hard-link") == 0;
	cr_assert_eq(r.errors, 0u);
	check_free(&r);
	return n;
}

/* Read, and said: somebody may write to it from elsewhere. */
Test(save, hard_links_are_a_warning)
{
	static const float w[] = { 9, 1, 2, 3 };
	char *dir = scratch_make(), *a = path_in(dir, "w.bin"), *b = path_in(dir, "other");
	struct document *doc;
	write_file(a, w, sizeof w);
	doc = external(dir, "w.bin", "4", "12");
	cr_assert_eq(linked(doc), 0u);
	cr_assert_eq(link(a, b), 0);
	cr_assert_eq(linked(doc), 1u);
	doc_free(doc);
	read_works(dir, "w.bin", "4", "12");
	scratch_remove(dir);
	free(a);
	free(b);
}

Test(save, external_data_by_the_rule)
{
	static const float w[] = { 9, 1, 2, 3 };
	char *top = scratch_make(), *dir = path_in(top, "model"), *path;
	cr_assert_eq(mkdir(dir, 0700), 0);
	path = path_in(top, "outside");
	write_file(path, w, sizeof w);
	free(path);
	path = path_in(dir, "w.bin");
	write_file(path, w, sizeof w);
	free(path);
	path = path_in(dir, "empty");
	write_file(path, "", 0);
	free(path);
	path = path_in(dir, "out");
	cr_assert_eq(symlink("../outside", path), 0);
	free(path);
	path = path_in(dir, "inner");
	cr_assert_eq(symlink("w.bin", path), 0);
	free(path);
	path = path_in(dir, "up");
	cr_assert_eq(symlink("..", path), 0);
	free(path);
	path = path_in(dir, "fifo");
	cr_assert_eq(mkfifo(path, 0600), 0);
	free(path);

	read_works(dir, "w.bin", "4", "12");
	read_works(dir, "w.bin", "4", NULL);
	read_works(dir, "./w.bin", "04", NULL);
	read_works(dir, "inner", "4", "12");
	read_fails(dir, "../outside", "4", NULL, "'..'");
	read_fails(dir, "a/../../outside", "4", NULL, "'..'");
	read_fails(dir, "..", NULL, NULL, "'..'");
	read_fails(dir, "/etc/passwd", NULL, NULL, "absolute");
	read_fails(dir, "", NULL, NULL, "empty");
	read_fails(dir, NULL, NULL, NULL, "empty");
	read_fails(dir, "w.bin\n", NULL, NULL, "control byte");
	read_fails(dir, "out", "4", NULL, "link");
	read_fails(dir, "up/outside", "4", NULL, "link");
	read_fails(dir, "fifo", NULL, NULL, "regular file");
	read_fails(dir, "missing", NULL, NULL, "cannot be opened");
	read_fails(dir, "empty", NULL, NULL, "12 bytes at offset 0 were expected");
	read_fails(dir, ".", NULL, NULL, "directory");
	static const char *const bad[] = { "-1", " 1", "1 ", "1e3", "0x4", "+4", "", "4.0", "18446744073709551616",
		                           "9223372036854775808" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		read_fails(dir, "w.bin", bad[i], NULL, "plain decimal");
		read_fails(dir, "w.bin", "4", bad[i], "plain decimal");
	}
	read_fails(dir, "w.bin", "9223372036854775807", NULL, "beyond the end of any file");
	read_fails(dir, "w.bin", "5", NULL, "12 bytes at offset 5");
	read_fails(dir, "w.bin", "4", "11", "external length is 11");
	read_fails(dir, "w.bin", "4", "13", "external length is 13");
	free(dir);
	scratch_remove(top);
}

Test(save, repeated_keys_and_two_payloads_are_refused)
{
	struct document *doc = external(".", "w.bin", "4", "12");
	Onnx__TensorProto *t = doc->model->graph->initializer[0];
	struct tamis_error err = { 0 };
	edit_bytes(doc, &t->has_raw_data, &t->raw_data, "twelve bytes", 12, NULL);
	cr_assert_eq(payload_check(doc, t, &err), TAMIS_E_INVALID);
	cr_assert(strstr(err.message, "one place was expected"), "%s", err.message);
	edit_bytes(doc, &t->has_raw_data, &t->raw_data, NULL, 0, NULL);
	edit_string(doc, &t->external_data[1]->key, "length", NULL);
	tamis_error_clear(&err);
	cr_assert_eq(payload_check(doc, t, &err), TAMIS_E_INVALID);
	cr_assert(strstr(err.message, "given twice"), "%s", err.message);
	doc_free(doc);

	/* raw_data marked external in a file is not ours to trust: only payload_write makes that, in memory. */
	doc = external(".", NULL, NULL, NULL);
	t = doc->model->graph->initializer[0];
	edit_bytes(doc, &t->has_raw_data, &t->raw_data, "twelve bytes", 12, NULL);
	cr_assert_eq(payload_check(doc, t, NULL), TAMIS_E_INVALID);
	doc_free(doc);
}

/* snapshots/1/model.onnx -> ../../blobs/aa, snapshots/1/w.bin -> ../../blobs/bb */
Test(save, the_symlinked_cache_layout_works)
{
	static const float w[] = { 9, 1, 2, 3 };
	static const char *const parts[] = { "blobs", "snapshots", "snapshots/1" };
	char *top = scratch_make(), *path;
	for (size_t i = 0; i < 3; i++) {
		path = path_in(top, parts[i]);
		cr_assert_eq(mkdir(path, 0700), 0);
		free(path);
	}
	path = path_in(top, "blobs/bb");
	write_file(path, w, sizeof w);
	free(path);
	struct document *made = external(".", "w.bin", "4", "12"), *doc;
	uint8_t *data;
	size_t size;
	cr_assert_eq(doc_pack(made, &data, &size, NULL), TAMIS_OK);
	path = path_in(top, "blobs/aa");
	write_file(path, data, size);
	free(path);
	path = path_in(top, "snapshots/1/w.bin");
	cr_assert_eq(symlink("../../blobs/bb", path), 0);
	free(path);
	path = path_in(top, "snapshots/1/model.onnx");
	cr_assert_eq(symlink("../../blobs/aa", path), 0);
	struct tensor out;
	struct tamis_error err = { 0 };
	cr_assert_eq(doc_load(path, NULL, &doc, &err), TAMIS_OK, "%s", err.message);
	cr_assert_eq(payload_read(doc, doc->model->graph->initializer[0], &out, &err), TAMIS_OK, "%s", err.message);
	cr_assert_eq(((float *)out.data)[2], 3);
	tensor_free(&out);
	doc_free(doc);
	doc_free(made);
	free(path);
	free(data);
	scratch_remove(top);
}

Test(save, files_that_are_no_models)
{
	char *dir = scratch_make(), *path = path_in(dir, "t.pb"), *fifo = path_in(dir, "fifo");
	struct bytes t = { 0 };
	struct tamis_error err = { 0 };
	struct document *doc;
	struct tensor_file *f;
	struct tensor out;
	bytes_int(&t, 1, 2);
	bytes_int(&t, 2, DT_FLOAT);
	bytes_field(&t, 9, "12345678", 8);
	write_file(path, t.data, t.size);
	cr_assert_eq(doc_load(path, NULL, &doc, &err), TAMIS_E_INVALID, "a TensorProto is no model");
	cr_assert_str_eq(err.file, path);
	cr_assert_eq(tensor_file_load(path, NULL, &f, NULL), TAMIS_OK);
	cr_assert_eq(payload_read(NULL, f->proto, &out, NULL), TAMIS_OK);
	cr_assert_eq(out.count, 2);
	tensor_free(&out);
	tensor_file_free(f);
	struct bytes m = small_model();
	write_file(path, m.data, m.size);
	cr_assert_eq(tensor_file_load(path, NULL, &f, NULL), TAMIS_E_INVALID, "a model is no TensorProto");
	cr_assert_null(f);
	cr_assert_eq(mkfifo(fifo, 0600), 0);
	const char *others[] = { dir, fifo, "/dev/null", "/nonexistent" };
	for (size_t i = 0; i < 4; i++) {
		tamis_error_clear(&err);
		cr_assert_eq(doc_load(others[i], NULL, &doc, &err), TAMIS_E_INVALID, "%s", others[i]);
		cr_assert(err.message[0]);
	}
	bytes_free(&m);
	bytes_free(&t);
	free(path), free(fifo);
	scratch_remove(dir);
}

/* Above what one protobuf file can hold nothing is packed, and nothing of the size asked for. */
Test(save, two_gib_are_refused_before_packing)
{
	struct document *doc = with_weights(4);
	ProtobufCBinaryData *raw = &doc->model->graph->initializer[1]->raw_data;
	const size_t len = raw->len, most = DOC_MAX_PACKED - (doc_packed_bytes(doc) - len);
	struct tamis_error err = { 0 };
	uint8_t *data = (uint8_t *)"";
	size_t size = 1;

	raw->len = most + 1;
	cr_expect_eq(doc_pack(doc, &data, &size, &err), TAMIS_E_OUTPUT);
	cr_expect_not_null(strstr(err.message, "--save-as-external-data"), "%s", err.message);
	cr_expect_null(data);
	cr_expect_eq(size, 0);
	raw->len = (size_t)1 << 32;
	cr_expect_eq(doc_pack(doc, &data, &size, NULL), TAMIS_E_OUTPUT);
	raw->len = len;
	cr_expect_eq(doc_pack(doc, &data, &size, &err), TAMIS_OK);
	free(data);
	doc_free(doc);
}
