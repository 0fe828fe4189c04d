/* SPDX-License-Identifier: Apache-2.0 */
/* The parameters of a graph at one depth, put away: of weights a bit an entry and what is not zero. */
#ifndef SLIM_SNAPSHOT_H
#define SLIM_SNAPSHOT_H

#include "slim/parameters.h"

struct snapshot {
	double keep;     /* share of connections that the cut was to keep */
	int64_t kept;    /* connections that are not zero */
	double spent;    /* of what the gate allows, as guessed; 0 = not looked at */
	uint8_t *bytes;
	size_t size;
};

/* O(entries). */
enum tamis_status snapshot_take(const struct graph *g, const struct parameters *p, double keep, struct snapshot *out,
                                struct tamis_error *err);
/* Back into a graph with the same parameters. TAMIS_E_INVALID when the bytes are not those of such a graph; what was
 * restored until then stays. */
enum tamis_status snapshot_restore(const struct snapshot *s, struct graph *g, const struct parameters *p,
                                   struct tamis_error *err);
void snapshot_free(struct snapshot *s);

#endif
