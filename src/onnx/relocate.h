/* SPDX-License-Identifier: Apache-2.0 */
/* Moving tensors into and out of a data file for the time of a save. Used inside this room only. */
#ifndef ONNX_RELOCATE_H
#define ONNX_RELOCATE_H

#include "onnx/document.h"

/* The tensors of a document that are to be stored elsewhere than they are. */
struct relocation {
	struct document *doc;
	struct move *moves;
	size_t count, cap;
	bool outward;       /* into a data file, not into the model */
	char *name;         /* of the data file, relative to the output's directory */
	char *created;      /* path of the data file if this made it; NULL otherwise */
};

/* Finds what must move for options->external when the document is written to `path` ("-" = standard output).
 * Changes nothing. r is to be released with relocation_finish whatever comes back. */
enum tamis_status relocation_plan(struct relocation *r, struct document *doc, const char *path,
                                  const struct doc_save_options *options, struct tamis_error *err);

/* Writes and syncs the data file (outward) or reads the elements in, and points the tree there. */
enum tamis_status relocation_apply(struct relocation *r, const char *path, struct tamis_error *err);

/* The directory of a path with its slash, malloc'ed; "./" with *n = 0 where the path names none. NULL: out of memory. */
char *directory_part(const char *path, size_t *n);

/* Puts the tree back as it was; with `keep` false the data file that this made is removed. Idempotent. */
void relocation_finish(struct relocation *r, bool keep);

#endif
