/* SPDX-License-Identifier: Apache-2.0 */
/* System calls of the static library under watch: the linker routes them through here, and one of them goes wrong. */
#ifndef TESTS_HOSTILE_FAULTS_H
#define TESTS_HOSTILE_FAULTS_H

enum fault_call {
	FAULT_OPEN, /* open, openat, openat2 */
	FAULT_READ, /* read, pread */
	FAULT_WRITE,
	FAULT_FSYNC,
	FAULT_CLOSE,
	FAULT_RENAME,
	FAULT_CALLS /* how many there are */
};

enum fault_kind {
	FAULT_ERROR,  /* the call does nothing and fails */
	FAULT_SHORT,  /* reads and writes do half of what was asked for; other calls go well */
	FAULT_BEFORE, /* a signal comes instead of the call */
	FAULT_MIDDLE, /* ... after half of it */
	FAULT_AFTER   /* ... when it is done */
};

struct fault {
	enum fault_call call;
	long at; /* which of these calls, from 1; 0 = none */
	enum fault_kind kind;
	int number; /* errno of FAULT_ERROR, else the signal */
};

extern const char *const fault_names[FAULT_CALLS];

/* Watches this process from here; seen[FAULT_CALLS] is counted up. */
void faults_watch(const struct fault *f, long *seen);

/* Is told of every path that is opened. */
void faults_look(void (*look)(const char *path, int flags));

#endif
