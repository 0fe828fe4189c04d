/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the data room: a source is a list of pieces, opened one at a time. */
#ifndef DATA_SOURCE_H
#define DATA_SOURCE_H

#include <jansson.h>
#include <zip.h>

#include "base/memory.h"
#include "data/column.h"
#include "data/reader.h"
#include "onnx/document.h"

enum piece_kind {
	PIECE_ARCHIVE, /* a .npz */
	PIECE_ARRAYS,  /* one .npy for each input */
	PIECE_SET,     /* a directory of input_M.pb: one feed, whole */
	PIECE_FEED,    /* one feed of a JSON list */
	PIECE_RANDOM
};

/* Strings belong to the source's arena, `feed` to its JSON lists. */
struct piece {
	enum piece_kind kind;
	const char *path;         /* the file or directory; the first .npy of arrays */
	const char **paths;       /* PIECE_ARRAYS: by input */
	json_t *feed;
	size_t feed_number;
	int64_t items;            /* known once it was opened */
	bool was_read;            /* to its end */
	struct kept_member *kept; /* by input, malloc'ed; NULL where the piece is not kept */
};

/* A deflated member in full: of the size that it had when headers were read, 0 for what is not kept; NULL: not inflated
 * yet. */
struct kept_member {
	uint64_t size;
	uint8_t *memory;
};

/* An open piece. Columns for arrays; tensors for a set. */
struct table {
	struct column *columns;   /* one for each input; NULL for sets and random items */
	zip_t *zip;
	struct tensor_file **files; /* of a set: strings of its tensors lie in them */
	struct tensor *tensors;
	int n;
	int64_t items, at;        /* in the piece, and read so far */
	bool whole;
};

struct data_source {
	struct arena arena;
	struct data_input *inputs;
	int n_inputs;
	struct data_options options; /* max_memory never 0 */
	struct piece *pieces;        /* malloc'ed */
	size_t n_pieces, cap_pieces;
	json_t **lists;              /* malloc'ed; each reference is ours */
	size_t n_lists, cap_lists;
	const char **paired;         /* paths of NAME:FILE specs by input; NULL where none came yet */
	bool *warned_narrowed;       /* by input */
	bool warned_extra;
	int64_t count;
	uint64_t keeps;              /* bytes that kept members take, once they are inflated */

	struct table open;           /* the piece at `next`, when is_open */
	bool is_open;
	size_t next;
	int64_t position;            /* items delivered */
	struct tensor *batch;        /* by input: what `next` hands out; data owned unless lent */
	size_t *room;                /* bytes allocated for each */
	bool lent;                   /* batch holds tensors of a set, which are not ours to free */
};

/* pieces.c: appends what a spec stands for, opening nothing but directories and JSON files. */
enum tamis_status pieces_add(struct data_source *s, const char *spec, struct tamis_error *err);
/* Adds the piece made of NAME:FILE specs; every input must have one. Nothing where none came. */
enum tamis_status pieces_add_paired(struct data_source *s, struct tamis_error *err);
enum tamis_status pieces_add_random(struct data_source *s, struct tamis_error *err);

/* table.c: opens a piece as far as its headers (a set: whole). Errors name file and tensor. */
enum tamis_status table_open(struct data_source *s, const struct piece *p, struct table *out,
                             struct tamis_error *err);
void table_close(struct table *t);

/* kept.c: what is deflated is inflated twice at most, where that takes little memory. Decides when the headers of a piece
 * are known. */
enum tamis_status kept_plan(struct data_source *s, struct piece *p, const struct table *t, struct tamis_error *err);
/* Once a kept piece was read to its end, its members become memory; what changed its size meanwhile stays a member. */
enum tamis_status kept_take(const struct piece *p, int input, struct bytes *b, struct tamis_error *err);
void kept_free(struct data_source *s, struct piece *p);

/* set.c: input_M.pb files of a directory, M = position. */
enum tamis_status set_open(struct data_source *s, const struct piece *p, struct table *out,
                           struct tamis_error *err);
char *set_path(struct arena *a, const char *dir, const struct data_input *in); /* NULL: out of memory */

/* feeds.c: a JSON file as a list of feeds; an array of a feed as the bytes of its .npy. */
enum tamis_status feeds_load(const char *path, uint64_t max_bytes, json_t **list, struct tamis_error *err);
enum tamis_status feed_bytes(json_t *feed, const char *name, struct bytes *out, struct tamis_error *err);

/* random.c: item `index` of one input, a pure function of seed, input and index. */
void random_fill(const struct data_source *s, int input, int64_t index, struct tensor *item);
bool random_is_whole(const struct data_source *s);

/* Tells the caller's callback, if there is one. */
void source_warn(struct data_source *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
