/* SPDX-License-Identifier: Apache-2.0 */
/* What winograd.c shares with its kernels, one for each width of vectors. */
#ifndef OPS_WINOGRAD_KERNEL_H
#define OPS_WINOGRAD_KERNEL_H

#include "ops/winograd.h"

enum { WINOGRAD_PLACES = 16 /* of a tile */ };

/* Sums are made for two blocks of maps by `strip` tiles at a time: as many as the registers hold. */
struct winograd_kernel {
	int lanes, strip;
	bool (*runs)(void);                                                /* on this processor; NULL: on none of this kind */
	void (*run)(const struct winograd *w, int64_t group, float *room); /* `group` tiles at a time, whole strips */
};

extern const struct winograd_kernel winograd_avx2, winograd_avx512;

/* Floats from one transformed tile to the next: an odd number of blocks, or the tiles of a strip would meet in a few sets of
 * the cache. */
static inline int64_t winograd_row(const struct winograd *w)
{
	return (w->in_blocks | 1) * w->lanes;
}

/* ---- tiles ------------------------------------------------------------------------------------------------------- */

struct tile { int64_t item, y, x; }; /* of its first result */

static inline int64_t half(int64_t n)
{
	return (n + 1) / 2;
}

static inline int64_t tiles_of(const struct winograd *w)
{
	return w->items * half(w->out[0]) * half(w->out[1]);
}

static inline struct tile tile_at(const struct winograd *w, int64_t i)
{
	int64_t across = half(w->out[1]), down = half(w->out[0]);

	return (struct tile){ i / (across * down), i / across % down * 2, i % across * 2 };
}

static inline struct tile next_tile(const struct winograd *w, struct tile t)
{
	t.x += 2;
	if (t.x >= w->out[1]) {
		t.x = 0;
		t.y += 2;
	}
	if (t.y >= w->out[0]) {
		t.y = 0;
		t.item++;
	}
	return t;
}

#endif
