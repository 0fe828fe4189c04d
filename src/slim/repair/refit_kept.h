/* SPDX-License-Identifier: Apache-2.0 */
/* What the original gave on some chunks, so that it need not run on them again. */
#ifndef SLIM_REFIT_KEPT_H
#define SLIM_REFIT_KEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct refit_kept {
	float *list;     /* of all chunks, one behind the other */
	size_t cap, most; /* floats: room, and how many may be kept */
	int64_t *end;    /* by chunk */
	size_t cap_end;
	int64_t chunks;
	bool refused;    /* there were more, or memory ran out: it runs again */
	bool whole;      /* all chunks are there */
};

/* Starts anew; most: floats. */
void refit_kept_open(struct refit_kept *k, size_t most);
/* The next chunk's part, n >= 0 floats; starts the chunk where `first`. Where it is refused nothing is kept. */
void refit_kept_add(struct refit_kept *k, bool first, const float *from, int64_t n);
/* Nothing is kept, neither now nor later. */
void refit_kept_refuse(struct refit_kept *k);
/* After the last chunk. Returns the floats kept. */
size_t refit_kept_close(struct refit_kept *k);
/* The floats of a chunk; k->whole. */
const float *refit_kept_of(const struct refit_kept *k, int64_t chunk);
void refit_kept_free(struct refit_kept *k);

#endif
