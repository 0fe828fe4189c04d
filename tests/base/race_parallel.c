/* SPDX-License-Identifier: Apache-2.0 */
/* Built with ThreadSanitizer, which reports a race and exits with 66; criterion cannot run under it. */
#include <stdio.h>

#include "base/parallel.h"

static long cells[1000]; /* plain memory: written by one worker, read by the caller after the loop */

static enum tamis_status add_one(void *ctx, int64_t index, int worker, struct tamis_error *err)
{
	const int64_t *fail_at = ctx;

	(void)worker;
	cells[index]++;
	return index == *fail_at ? tm_fail(err, TAMIS_E_INVALID, "index %lld", (long long)index) : TAMIS_OK;
}

static int check_round(struct pool *p, int64_t fail_at)
{
	enum tamis_status status = pool_for(p, 1000, add_one, &fail_at, NULL);

	for (int64_t i = 0; i < 1000; i++) {
		if (cells[i] != 1 && (fail_at < 0 || i <= fail_at))
			return 1;
		cells[i] = 0;
	}
	return status != (fail_at < 0 ? TAMIS_OK : TAMIS_E_INVALID);
}

int main(void)
{
	for (int size = 2; size <= 8; size *= 2) {
		struct pool *p;

		if (pool_create(size, &p, NULL) != TAMIS_OK)
			return 1;
		for (int64_t round = 0; round < 200; round++)
			if (check_round(p, round % 2 ? -1 : round * 5)) {
				fprintf(stderr, "%d workers, round %lld: wrong counts\n", size, (long long)round);
				return 1;
			}
		pool_destroy(p);
	}
	return 0;
}
