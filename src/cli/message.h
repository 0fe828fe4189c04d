/* SPDX-License-Identifier: Apache-2.0 */
/* What the command says: errors and warnings on standard error, results on standard output. */
#ifndef CLI_MESSAGE_H
#define CLI_MESSAGE_H

#include "cli/arguments.h"

/* Prints "tamis: sentence" and returns TAMIS_E_USAGE. */
enum tamis_status usage_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Prints "tamis: file: node 'x': tensor 'y': sentence" and returns err->status. */
enum tamis_status say_error(const struct tamis_error *err);

/* Prints "tamis: path: what: reason of errno" for an output and returns TAMIS_E_OUTPUT. */
enum tamis_status output_error(const char *path, const char *what);

/* Writes text to standard output, whole; has said so when that fails (TAMIS_E_OUTPUT). */
enum tamis_status say_result(const char *text);

/* Writes the report where the options want it: --json FILE, and the text on standard output unless -q,
 * or unless standard output is taken by a model or by JSON. Has said so when that fails. */
enum tamis_status say_report(const struct arguments *a, const struct tamis_report *r);

#endif
