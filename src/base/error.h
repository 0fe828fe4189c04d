/* SPDX-License-Identifier: Apache-2.0 */
/* Setting struct tamis_error. The first failure wins: later calls change nothing but return their status. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdarg.h>

#include "tamis/error.h"

#define TM_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Records status and a formatted sentence (no trailing newline, no full stop) and returns the status, so that a
 * failure is `return tm_fail(err, TAMIS_E_INVALID, "...")`. err may be NULL. Never allocates. */
enum tamis_status tm_fail(struct tamis_error *err, enum tamis_status status, const char *fmt, ...) TM_PRINTF(3, 4);

/* Out of memory while doing `what` ("loading the model"). */
enum tamis_status tm_no_memory(struct tamis_error *err, const char *what);

/* Name where it happened, if not named yet; callers higher up know more than the place that failed. Each returns
 * err->status (TAMIS_E_INTERNAL when err is NULL), so that they chain. Unprintable bytes become '?'. */
enum tamis_status tm_in_file(struct tamis_error *err, const char *file);
enum tamis_status tm_in_node(struct tamis_error *err, const char *node);
enum tamis_status tm_in_tensor(struct tamis_error *err, const char *tensor);

#endif
