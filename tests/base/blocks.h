/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation under watch: the linker routes malloc, calloc, realloc, aligned_alloc and free of the static library (ours,
 * and those made for protobuf-c) through here. Blocks are counted while a call is watched, and allocations fail at will.
 * Not for several threads. */
#ifndef TESTS_BASE_BLOCKS_H
#define TESTS_BASE_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>

void *__real_calloc(size_t n, size_t size);
void __real_free(void *p);

/* Watches from here; of the allocations, number fail_at (from 1; 0 = none) fails and so do fail_for in all in a row
 * (-1 = every later one). */
void blocks_watch(long fail_at, long fail_for);
void blocks_rest(void); /* watches no more; blocks that are out stay counted until they are freed */

bool blocks_watching(void);
long blocks_live(void);  /* taken since the watch began and not given back */
long blocks_calls(void); /* allocations asked for since the watch began */

#endif
