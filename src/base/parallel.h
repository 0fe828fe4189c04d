/* SPDX-License-Identifier: Apache-2.0 */
/* A fixed set of worker threads and one loop over indices. Which worker takes which index is not fixed, so a body
 * must write only what its index (or its worker's scratch) owns; sums are merged afterwards in index order. */
#ifndef BASE_PARALLEL_H
#define BASE_PARALLEL_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/error.h"

struct pool; /* opaque */

/* `workers` >= 1 including the calling thread; 0 = the processors this process may run on. When threads cannot be
 * had, fewer are used, down to the calling thread alone. */
enum tamis_status pool_create(int workers, struct pool **out, struct tamis_error *err);
int pool_size(const struct pool *p); /* NULL counts as 1 */
void pool_destroy(struct pool *p);   /* NULL is fine */

/* Body of a loop: worker in [0, pool_size). A status other than TAMIS_OK stops handing out further indices. */
typedef enum tamis_status (*pool_body)(void *ctx, int64_t index, int worker, struct tamis_error *err);

/* Runs body for index 0..n-1 and returns when all are done; p NULL runs them here in order. Of several failures the
 * one with the lowest index is reported. Must not be called from inside a body of the same pool. */
enum tamis_status pool_for(struct pool *p, int64_t n, pool_body body, void *ctx, struct tamis_error *err);

/* Looks at `count` for some tens of microseconds, or until it is no longer `seen`: before a thread goes to sleep, from
 * which it wakes late. */
void pool_spin(const _Atomic uint64_t *count, uint64_t seen);

#endif
