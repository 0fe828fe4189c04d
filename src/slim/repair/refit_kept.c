/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/repair/refit_kept.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

void refit_kept_free(struct refit_kept *k)
{
	free(k->list);
	free(k->end);
	*k = (struct refit_kept){ 0 };
}

void refit_kept_open(struct refit_kept *k, size_t most)
{
	refit_kept_free(k);
	k->most = most;
}

static size_t used(const struct refit_kept *k)
{
	return k->chunks ? (size_t)k->end[k->chunks - 1] : 0;
}

void refit_kept_refuse(struct refit_kept *k)
{
	refit_kept_free(k);
	k->refused = true;
}

void refit_kept_add(struct refit_kept *k, bool first, const float *from, int64_t n)
{
	size_t have = used(k), want = have + (size_t)n;

	if (k->refused)
		return;
	if (want > k->most || !tm_grow((void **)&k->list, &k->cap, want, sizeof *k->list)
	    || !tm_grow((void **)&k->end, &k->cap_end, (size_t)k->chunks + 1, sizeof *k->end)) {
		refit_kept_refuse(k);
		return;
	}
	if (n)
		memcpy(k->list + have, from, (size_t)n * sizeof *from);
	k->chunks += first;
	k->end[k->chunks - 1] = (int64_t)want;
}

size_t refit_kept_close(struct refit_kept *k)
{
	k->whole = !k->refused;
	return used(k);
}

const float *refit_kept_of(const struct refit_kept *k, int64_t chunk)
{
	return k->list + (chunk ? k->end[chunk - 1] : 0);
}
