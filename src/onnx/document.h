/* SPDX-License-Identifier: Apache-2.0 */
/* An ONNX file in memory: the protobuf tree is the truth, everything else in tamis is an index over it. What
 * tamis does not understand (unknown fields, doc strings, other domains) stays in the tree and is written
 * back. */
#ifndef ONNX_DOCUMENT_H
#define ONNX_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <onnx.pb-c.h>

#include "base/error.h"

#define DOC_MAX_PACKED 2147483647u   /* bytes: what one protobuf file may hold */
#define DOC_EXTERNAL_THRESHOLD 1024u /* bytes: smaller tensors stay in the file */
#define DOC_EXTERNAL_ALIGN 4096u     /* bytes: offsets of tensors in a data file that tamis writes */
#define DOC_MAX_SUBGRAPHS 32         /* nested graphs */

/* What a file may cost. Zero-initialise for the defaults. */
struct doc_limits {
	uint64_t max_bytes;    /* size of the file; 0 = DOC_MAX_PACKED */
	uint64_t max_memory;   /* bytes of the file, of the tree, and of one decoded tensor, each; 0 = 16 GiB, and to
	                          unpack a file at most 64 MiB and 64 bytes for each of its bytes */
	uint64_t max_messages; /* messages in the file; 0 = 4,000,000 and one for each 64 bytes; at most 2^30 */
	uint64_t fail_after;   /* tests: allocations of the tree that succeed before one fails; 0 = all succeed */
};

/* Counts what the tree takes and refuses more than `cap`. Not thread-safe: a document is edited by one
 * thread. */
struct doc_memory {
	uint64_t used, peak, cap; /* bytes, block headers included */
	uint64_t calls;           /* allocations asked for so far */
	uint64_t fail_at;         /* number of the call that fails; 0 = none */
};

struct document {
	Onnx__ModelProto *model;
	char *path;                /* as given; "-" = standard input; "" = from memory */
	char *dir;                 /* directory of path ("." where it has none); external data is relative to it */
	char *real_dir;            /* directory of the path with symbolic links resolved */
	uint64_t bytes;            /* size of the input */
	uint8_t sha256[32];        /* of the input's bytes */
	char sha256_hex[65];
	uint64_t max_memory;       /* the limit it was loaded under, never 0 */
	bool pending_external;     /* some external tensor was rewritten in memory; doc_save writes it out */
	struct doc_memory memory;
	ProtobufCAllocator allocator; /* all memory of the tree comes from here */
};

/* Reads, scans (wire.h) and unpacks a model. "-" = standard input. It is well-formed protobuf and has a graph
 * after this, no more: check.h knows the rules. TAMIS_E_INVALID: unreadable, not an ONNX model (said what it
 * looks like); TAMIS_E_MEMORY: over a limit. limits NULL = defaults. *out is the caller's, for doc_free; NULL
 * on failure. O(bytes). */
enum tamis_status doc_load(const char *path, const struct doc_limits *limits, struct document **out,
                           struct tamis_error *err);

/* The same from bytes, which are copied. External data is looked for below `dir` (NULL = "."). */
enum tamis_status doc_load_memory(const void *data, size_t size, const char *dir,
                                  const struct doc_limits *limits,
                                  struct document **out, struct tamis_error *err);

/* Releases the tree and all that hangs on it. NULL is fine. */
void doc_free(struct document *doc);

/* Bytes that the tree takes in a file. O(tree). */
uint64_t doc_packed_bytes(const struct document *doc);

/* Serialises the tree. For canonically encoded input (fields in order of their numbers, shortest varints;
 * what every common writer gives) a document that was not edited packs to the very bytes it came from. *data
 * is malloc'ed, the caller's. TAMIS_E_OUTPUT above DOC_MAX_PACKED, naming --save-as-external-data.
 * O(bytes). */
enum tamis_status doc_pack(const struct document *doc, uint8_t **data, size_t *size, struct tamis_error *err);

/* Which tensors go into a file beside the model. */
enum doc_external {
	DOC_EXTERNAL_KEEP = 0, /* those that are external now: left where they are when nothing of them changed and
	                          the output is in the same directory, else all into one new data file */
	DOC_EXTERNAL_ALL,      /* every initializer of at least `threshold` bytes, and those that are external now */
	DOC_EXTERNAL_NONE      /* none: external ones are read in and embedded */
};

/* Zero-initialise for the defaults. */
struct doc_save_options {
	enum doc_external external;
	uint64_t threshold; /* bytes, for DOC_EXTERNAL_ALL; 0 = DOC_EXTERNAL_THRESHOLD */
	bool in_place;      /* allow the output to be the very file that was read */
	bool no_verify;     /* skip reading the temporary back and checking it as a model (check.h) */
};

/* Writes the model, all or nothing: temporary in the target directory, sync, read back, scan and check,
 * rename. A data file gets a new name made from its content (STEM-16HEXDIGITS.data), is written and synced
 * first, and never replaces an existing file; offsets are multiples of DOC_EXTERNAL_ALIGN. "-" writes to
 * standard output (then nothing external may have to be written: TAMIS_E_USAGE). TAMIS_E_USAGE when path is
 * the input and in_place is off; TAMIS_E_OUTPUT when it cannot be written or is too large; TAMIS_E_INTERNAL
 * when what was written is not a valid model. The tree is as before afterwards (it still refers to the old
 * external files). options NULL = defaults. */
enum tamis_status doc_save(struct document *doc, const char *path, const struct doc_save_options *options,
                           struct tamis_error *err);

/* One TensorProto in a file of its own: input_M.pb and output_M.pb of the ONNX test layout. */
struct tensor_file {
	Onnx__TensorProto *proto;
	struct doc_memory memory;
	ProtobufCAllocator allocator;
};

/* Reads, scans and unpacks it; payload_read decodes it (with doc NULL: external data is refused). A file that
 * parses as something else (a SequenceProto, a model) is TAMIS_E_INVALID. *out is the caller's, for
 * tensor_file_free. */
enum tamis_status tensor_file_load(const char *path, const struct doc_limits *limits,
                                   struct tensor_file **out, struct tamis_error *err);
void tensor_file_free(struct tensor_file *f); /* NULL is fine */

#endif
