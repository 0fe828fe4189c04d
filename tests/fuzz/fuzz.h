/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzz targets share. Each target is one file with LLVMFuzzerTestOneInput; libFuzzer drives it in tools/fuzz,
 * replay.c over the committed corpus in the quick suite. A broken promise aborts, so that either of them notices. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"
#include "onnx/document.h"
#include "tamis/tamis.h"

#define FUZZ_MEMORY (8u << 20) /* bytes: limit on trees, tensors, runs and batches */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of the targets with mutate.c: what their inputs are. */
extern const ProtobufCMessageDescriptor *const fuzz_message;

/* Inputs that were not refused: a corpus of which none is taken any more would go unnoticed. */
extern int fuzz_taken;

/* Aborts, saying what was expected, unless ok. */
void fuzz_expect(bool ok, const char *what);

/* A failure has its own status and a sentence; a success has neither; nothing is an internal failure. */
void fuzz_expect_said(enum tamis_status status, const struct tamis_error *err);

/* A directory in memory where there is one (/dev/shm, else TMPDIR), removed at exit. */
const char *fuzz_dir(void);

/* NAME in that directory with these bytes; the path is valid until the next call. */
const char *fuzz_file(const char *name, const uint8_t *data, size_t size);

/* The bytes as a model that passes the checker, or NULL. */
struct document *fuzz_document(const uint8_t *data, size_t size);
struct tamis_model *fuzz_model(const uint8_t *data, size_t size);

/* Opens a path as items of one input called "x" and reads them all, in batches of 3. dims: -1 = open. */
void fuzz_items(const char *path, enum dtype type, int rank, const int64_t *dims);

#endif
