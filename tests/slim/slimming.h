/* SPDX-License-Identifier: Apache-2.0 */
/* One call of slim_document on a model and items in memory. */
#ifndef TESTS_SLIM_SLIMMING_H
#define TESTS_SLIM_SLIMMING_H

#include "nets.h"
#include "slim/slim.h"

struct slimming {
	struct document *doc;             /* owned */
	struct shelf shelf;
	struct feed_reader reader;
	struct tamis_slim_options o;      /* the defaults, one worker, tolerance 0.1; change as needed */
	struct slim_inputs in;
	/* Of the last call: */
	struct slim_figures figures;
	struct arena arena;
	struct document *out;
	struct tamis_error err;
};

/* Takes the document; makes standard normal items for it. */
void slimming_open(struct slimming *s, struct document *d, int64_t items, uint64_t seed);
enum tamis_status slimming_run(struct slimming *s);
void slimming_forget(struct slimming *s);  /* the last call */
void slimming_close(struct slimming *s);

/* The bytes of a document; free() them. */
uint8_t *slimming_bytes(struct document *d, size_t *size);

#endif
