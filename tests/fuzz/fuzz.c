/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/reader.h"
#include "onnx/check.h"

int fuzz_taken;

void fuzz_expect(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "fuzz: expected %s\n", what);
	abort();
}

void fuzz_expect_said(enum tamis_status status, const struct tamis_error *err)
{
	if (status != TAMIS_OK && (status != err->status || status == TAMIS_E_INTERNAL))
		fprintf(stderr, "status %d, error %d: %s\n", (int)status, (int)err->status, err->message);
	fuzz_expect(status == err->status, "the status that the error holds");
	fuzz_expect(status != TAMIS_E_INTERNAL, "no internal failure");
	fuzz_expect((status == TAMIS_OK) == (err->message[0] == '\0'), "a sentence with a failure alone");
}

static char dir[64];

static void remove_dir(void)
{
	char command[96];

	snprintf(command, sizeof command, "rm -rf '%s'", dir);
	if (system(command) != 0)
		fprintf(stderr, "fuzz: %s could not be removed\n", dir);
}

const char *fuzz_dir(void)
{
	if (dir[0])
		return dir;
	snprintf(dir, sizeof dir, "%s/tamis-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	fuzz_expect(mkdtemp(dir) != NULL, "a directory to work in");
	atexit(remove_dir);
	return dir;
}

const char *fuzz_file(const char *name, const uint8_t *data, size_t size)
{
	static char path[128];
	int fd;

	snprintf(path, sizeof path, "%s/%s", fuzz_dir(), name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	fuzz_expect(fd >= 0 && write(fd, data, size) == (ssize_t)size && close(fd) == 0, "a file to be written");
	return path;
}

struct document *fuzz_document(const uint8_t *data, size_t size)
{
	const struct doc_limits limits = { .max_memory = FUZZ_MEMORY };
	struct tamis_error err = { 0 };
	struct document *doc;
	enum tamis_status status = doc_load_memory(data, size, fuzz_dir(), &limits, &doc, &err);

	fuzz_expect_said(status, &err);
	fuzz_expect((status == TAMIS_OK) == (doc != NULL), "a document with success alone");
	if (status == TAMIS_OK)
		status = check_or_fail(doc, &err);
	fuzz_expect_said(status, &err);
	fuzz_taken += status == TAMIS_OK;
	if (status == TAMIS_OK)
		return doc;
	doc_free(doc);
	return NULL;
}

struct tamis_model *fuzz_model(const uint8_t *data, size_t size)
{
	const struct tamis_load_options load = { .max_bytes = 1 << 20, .max_memory = FUZZ_MEMORY };
	struct tamis_error err = { 0 };
	struct tamis_model *model = NULL;

	fuzz_expect_said(tamis_model_open_memory(data, size, fuzz_dir(), &load, &model, &err), &err);
	fuzz_taken += model != NULL;
	return model;
}

void fuzz_items(const char *path, enum dtype type, int rank, const int64_t *dims)
{
	struct data_input in = { .name = "x", .type = type, .rank = rank };
	struct data_options options = { .max_memory = FUZZ_MEMORY };
	struct data_source *source = NULL;
	struct tamis_error err = { 0 };
	enum tamis_status status;

	if (rank > 0)
		memcpy(in.dims, dims, (size_t)rank * sizeof *dims);
	status = data_open(&path, 1, &in, 1, &options, &source, &err);
	if (status == TAMIS_OK) {
		struct feed_reader reader = data_reader(source);
		struct batch batch = { .items = 1 };

		fuzz_expect(data_count(source) > 0, "at least one item");
		while (status == TAMIS_OK && batch.items > 0) {
			status = reader.next(reader.self, 3, &batch, &err);
			fuzz_expect(status != TAMIS_OK || batch.items == 0 || batch_check(&batch, 1, NULL) == TAMIS_OK,
			            "a batch that keeps the promises of readers");
		}
	}
	fuzz_expect_said(status, &err);
	fuzz_taken += status == TAMIS_OK;
	data_close(source);
}
