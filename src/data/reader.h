/* SPDX-License-Identifier: Apache-2.0 */
/* Calibration items from files: one opener for every layout, one reader for the executor. */
#ifndef DATA_READER_H
#define DATA_READER_H

#include <stddef.h>
#include <stdint.h>

#include "base/tensor.h"
#include "exec/feed.h"

/* A graph input that the data must give. Strings belong to the caller and must outlive the source. */
struct data_input {
	const char *name;
	enum dtype type;
	int rank;                      /* -1: not declared, any shape is taken */
	int64_t dims[TENSOR_MAX_RANK]; /* -1: symbolic, any extent */
	int position;                  /* in graph.input, initializers counted: the M of input_M.pb */
};

struct data_options {
	int64_t random;       /* > 0: that many random items, and no specs; default 0 */
	uint64_t seed;        /* of the random items; default 0 */
	uint64_t max_memory;  /* bytes that the tensors of one batch may take; 0 = 8 GiB */
	/* Told of what was accepted though it is not quite as declared, in one sentence each; NULL: nobody. */
	void (*warn)(void *ctx, const char *sentence);
	void *warn_ctx;
};

struct data_source; /* opaque */

/* Opens calibration data. Each spec is
 *   - a .npz whose members are named as the inputs (extra members: a warning);
 *   - a .npy, where the model has one input;
 *   - NAME:FILE.npy, one for each input, together one piece of data;
 *   - a directory of .npz (or .npy: one input) files in natural order of their names (a2 before a10),
 *     other files and names that start with a dot ignored;
 *   - a directory with test_data_set_N/input_M.pb, in order of N, or a single such set;
 *   - a JSON list of feeds as Polygraphy's save_json writes it.
 * Several specs follow one another. Files are told by content, not by name.
 * An array is taken as items on its first axis, [items, rest of the declared shape]; with the rank of the
 * declared shape less one as a single item; with one axis more as items each of the whole declared shape. What
 * cannot be stacked (a first axis that is neither symbolic nor 1, scalars) is fed whole, one feed an item.
 * The type must be exactly the input's, but that float64 arrays are narrowed to float with a warning, and that
 * bfloat16 and 8-bit floats are taken from void arrays of their size (numpy has no names for them).
 * Every header is read here, so that a wrong name, type or shape is said at once (TAMIS_E_INVALID, naming file
 * and tensor); elements are read while iterating. options NULL = defaults. *out is the caller's, for
 * data_close. */
enum tamis_status data_open(const char *const *specs, size_t n_specs, const struct data_input *inputs,
                            int n_inputs, const struct data_options *options, struct data_source **out,
                            struct tamis_error *err);
void data_close(struct data_source *s); /* NULL is fine */

/* The iterator over a source, which must outlive it (its destroy is NULL). One iterator at a time. A batch
 * holds fewer items than asked for where max_memory or a change of shape demands it. */
struct feed_reader data_reader(struct data_source *s);

/* Items in all; never -1, never 0. */
int64_t data_count(const struct data_source *s);

/* Bytes of deflated arrays that stay in memory from the second pass over the items on: all that fit a quarter of a GiB
 * and a sixteenth of max_memory, in the order of the files. */
uint64_t data_keeps(const struct data_source *s);

/* Were the items made up by --random? */
bool data_is_random(const struct data_source *s);

/* SHA-256 over the bytes of the files in the order they are read, each with its length and the input it
 * feeds, but not their names: the same data elsewhere has the same hash. Random items: over their number,
 * seed and shapes. Reads every file once. */
enum tamis_status data_sha256(struct data_source *s, uint8_t digest[32], struct tamis_error *err);

/* The same over one file alone (labels). */
enum tamis_status data_file_sha256(const char *path, uint8_t digest[32], struct tamis_error *err);

/* Class labels from a .npy of integers (or bool), or an .npz with a single such member; shape [items] or
 * [items, 1]. *labels is malloc'ed, the caller's. */
enum tamis_status data_labels(const char *path, int64_t **labels, int64_t *n, struct tamis_error *err);

#endif
