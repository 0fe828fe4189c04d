/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/search/checkpoint.h"

#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

/* The file: this line, the SHA-256 of the identity, that of the bytes, the bytes. */
static const char magic[] = "tamis checkpoint 2\n";

struct header {
	char magic[sizeof magic - 1];
	uint8_t identity[SHA256_DIGEST_SIZE], content[SHA256_DIGEST_SIZE];
};

static void hash(const void *data, size_t size, uint8_t digest[SHA256_DIGEST_SIZE])
{
	struct sha256_ctx ctx;

	sha256_init(&ctx);
	sha256_update(&ctx, size, data);
	sha256_digest(&ctx, SHA256_DIGEST_SIZE, digest);
}

static struct header header_of(const struct checkpoint *c, const uint8_t *bytes, size_t size)
{
	struct header h;

	memcpy(h.magic, magic, sizeof h.magic);
	hash(c->identity, strlen(c->identity), h.identity);
	hash(bytes, size, h.content);
	return h;
}

enum tamis_status checkpoint_save(const struct checkpoint *c, const uint8_t *bytes, size_t size, struct tamis_error *err)
{
	struct header h = header_of(c, bytes, size);
	struct file_writer w;
	enum tamis_status s = file_writer_open(&w, c->path, err);

	if (s != TAMIS_OK)
		return s;
	s = file_writer_write(&w, &h, sizeof h, err);
	if (s == TAMIS_OK)
		s = file_writer_write(&w, bytes, size, err);
	if (s == TAMIS_OK)
		return file_writer_commit(&w, err);
	file_writer_abort(&w);
	return s;
}

static enum tamis_status check(const struct checkpoint *c, const uint8_t *file, size_t size, struct tamis_error *err)
{
	struct header want;

	if (size < sizeof want || memcmp(file, magic, sizeof want.magic) != 0)
		return tm_fail(err, TAMIS_E_INVALID, "'%.200s' is no checkpoint of tamis", c->path);
	want = header_of(c, file + sizeof want, size - sizeof want);
	if (memcmp(file + sizeof want.magic, want.identity, sizeof want.identity) != 0)
		return tm_fail(err, TAMIS_E_INVALID, "the checkpoint '%.200s' is of another model, of other items or of other options",
		               c->path);
	if (memcmp(file, &want, sizeof want) != 0)
		return tm_fail(err, TAMIS_E_INVALID, "the checkpoint '%.200s' is damaged", c->path);
	return TAMIS_OK;
}

enum tamis_status checkpoint_load(const struct checkpoint *c, uint8_t **bytes, size_t *size, struct tamis_error *err)
{
	enum tamis_status s;

	*bytes = NULL;
	*size = 0;
	if (access(c->path, F_OK) != 0)
		return TAMIS_OK;
	s = file_read(c->path, SIZE_MAX / 2, bytes, size, err);
	if (s == TAMIS_OK)
		s = check(c, *bytes, *size, err);
	if (s != TAMIS_OK) {
		free(*bytes);
		*bytes = NULL;
		return s;
	}
	*size -= sizeof(struct header);
	memmove(*bytes, *bytes + sizeof(struct header), *size);
	return TAMIS_OK;
}

void checkpoint_remove(const struct checkpoint *c)
{
	unlink(c->path);
}
