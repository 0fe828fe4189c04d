/* SPDX-License-Identifier: Apache-2.0 */
/* What the calibration data was, for the model's metadata. */
#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>

#include "data/source.h"

enum { BLOCK = 64 << 10 };

static void add_word(struct sha256_ctx *ctx, uint64_t word)
{
	uint8_t bytes[8];

	for (int i = 0; i < 8; i++)
		bytes[i] = (uint8_t)(word >> 8 * i);
	sha256_update(ctx, sizeof bytes, bytes);
}

static enum tamis_status add_bytes(struct sha256_ctx *ctx, struct bytes *b, uint8_t *block,
                                   struct tamis_error *err)
{
	while (b->at < b->size) {
		size_t n = b->size - b->at < BLOCK ? (size_t)(b->size - b->at) : BLOCK;
		enum tamis_status status = bytes_read(b, block, n, err);

		if (status != TAMIS_OK)
			return status;
		sha256_update(ctx, n, block);
	}
	return TAMIS_OK;
}

/* One file: what it feeds (an input's number, or -1 for all), its length, its bytes. */
static enum tamis_status add_file(struct sha256_ctx *ctx, const char *path, int64_t feeds,
                                  struct tamis_error *err)
{
	uint8_t *block = malloc(BLOCK);
	struct bytes b = {0};
	enum tamis_status status = block ? bytes_from_file(&b, path, err) : tm_no_memory(err, "hashing a file");

	add_word(ctx, (uint64_t)feeds);
	add_word(ctx, b.size);
	if (status == TAMIS_OK)
		status = add_bytes(ctx, &b, block, err);
	bytes_close(&b);
	free(block);
	if (status != TAMIS_OK)
		tm_in_file(err, path);
	return status;
}

static enum tamis_status add_set(struct data_source *s, const struct piece *p, struct sha256_ctx *ctx,
                                 struct tamis_error *err)
{
	enum tamis_status status = TAMIS_OK;

	for (int i = 0; i < s->n_inputs && status == TAMIS_OK; i++) {
		struct arena a = {0};
		char *path = set_path(&a, p->path, &s->inputs[i]);

		status = path ? add_file(ctx, path, i, err) : tm_no_memory(err, "hashing a file");
		arena_free(&a);
	}
	return status;
}

static void add_random(struct data_source *s, struct sha256_ctx *ctx)
{
	add_word(ctx, (uint64_t)s->options.random);
	add_word(ctx, s->options.seed);
	for (int i = 0; i < s->n_inputs; i++) {
		add_word(ctx, (uint64_t)s->inputs[i].type);
		add_word(ctx, (uint64_t)s->inputs[i].rank);
		for (int k = 0; k < s->inputs[i].rank; k++)
			add_word(ctx, (uint64_t)s->inputs[i].dims[k]);
	}
}

static enum tamis_status add_piece(struct data_source *s, const struct piece *p, struct sha256_ctx *ctx,
                                   struct tamis_error *err)
{
	enum tamis_status status = TAMIS_OK;

	add_word(ctx, (uint64_t)p->kind);
	switch (p->kind) {
	case PIECE_ARCHIVE: return add_file(ctx, p->path, -1, err);
	case PIECE_FEED: return p->feed_number == 0 ? add_file(ctx, p->path, -1, err) : TAMIS_OK;
	case PIECE_SET: return add_set(s, p, ctx, err);
	case PIECE_RANDOM: add_random(s, ctx); return TAMIS_OK;
	case PIECE_ARRAYS: break;
	}
	for (int i = 0; i < s->n_inputs && status == TAMIS_OK; i++)
		status = add_file(ctx, p->paths[i], i, err);
	return status;
}

enum tamis_status data_sha256(struct data_source *s, uint8_t digest[32], struct tamis_error *err)
{
	struct sha256_ctx ctx;
	enum tamis_status status = TAMIS_OK;

	sha256_init(&ctx);
	for (size_t i = 0; i < s->n_pieces && status == TAMIS_OK; i++)
		status = add_piece(s, &s->pieces[i], &ctx, err);
	sha256_digest(&ctx, 32, digest);
	return status;
}

enum tamis_status data_file_sha256(const char *path, uint8_t digest[32], struct tamis_error *err)
{
	struct sha256_ctx ctx;
	struct bytes b = {0};
	uint8_t *block = malloc(BLOCK);
	enum tamis_status status = block ? bytes_from_file(&b, path, err) : tm_no_memory(err, "hashing a file");

	sha256_init(&ctx);
	if (status == TAMIS_OK)
		status = add_bytes(&ctx, &b, block, err);
	sha256_digest(&ctx, 32, digest);
	bytes_close(&b);
	free(block);
	if (status != TAMIS_OK)
		tm_in_file(err, path);
	return status;
}
