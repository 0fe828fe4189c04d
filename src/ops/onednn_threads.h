/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps oneDNN to the calling thread: workers of ours share out items, never one operator. */
#ifndef OPS_ONEDNN_THREADS_H
#define OPS_ONEDNN_THREADS_H

#include <stdbool.h>

/* OpenMP's setting of the calling thread; NULL where oneDNN is built without threads. */
struct onednn_threads {
	int (*get)(void);
	void (*set)(int);
};

/* False where oneDNN runs threads that cannot be held back: it must not be used then. */
bool onednn_find_threads(struct onednn_threads *t);

/* Around every call that makes or runs a primitive: oneDNN fixes the number of threads when it makes one. What enter
 * returns goes to leave. */
int onednn_enter(const struct onednn_threads *t);
void onednn_leave(const struct onednn_threads *t, int before);

#endif
