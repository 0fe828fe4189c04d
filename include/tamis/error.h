/* SPDX-License-Identifier: Apache-2.0 */
/* How every tamis function reports failure: a status, and one sentence in a caller-owned struct. */
#ifndef TAMIS_ERROR_H
#define TAMIS_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TAMIS_API __attribute__((visibility("default")))
#else
#define TAMIS_API
#endif

/* 0 to 6 are also the exit codes of the command; the numbers never change. */
enum tamis_status {
	TAMIS_OK = 0,
	TAMIS_E_INTERNAL = 1,    /* a broken promise inside tamis: please report it */
	TAMIS_E_USAGE = 2,       /* the call or the command line is wrong */
	TAMIS_E_INVALID = 3,     /* the model or the data is invalid */
	TAMIS_E_UNSUPPORTED = 4, /* an operator, type or opset that tamis does not support */
	TAMIS_E_GATE = 5,        /* no cut passed the gate; nothing was written */
	TAMIS_E_OUTPUT = 6,      /* an output could not be written */
	TAMIS_E_MEMORY = 7,      /* out of memory, or over a limit the caller set */
	TAMIS_E_CANCELLED = 8    /* a callback of the caller asked to stop */
};

/* Filled by the first failure; later failures leave it alone. All strings are NUL-terminated, printable
 * (control bytes and invalid UTF-8 are replaced) and cut to fit; empty where they do not apply. */
struct tamis_error {
	enum tamis_status status;
	char file[256];     /* the file that was read or written */
	char node[128];     /* the node, by name, or "#12 (Conv)" where it has none */
	char tensor[128];   /* the tensor or graph input */
	char message[1024]; /* one sentence: what was expected, what came */
};

/* Resets an error so that it can be used again. NULL is allowed. O(1). */
TAMIS_API void tamis_error_clear(struct tamis_error *err);

/* A short constant English name of a status ("invalid model or data"); never NULL. */
TAMIS_API const char *tamis_status_text(enum tamis_status status);

#ifdef __cplusplus
}
#endif
#endif
