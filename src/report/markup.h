/* SPDX-License-Identifier: Apache-2.0 */
/* Text inside HTML and SVG. Names from models may hold anything, and none of it may become markup. */
#ifndef REPORT_MARKUP_H
#define REPORT_MARKUP_H

#include <stdbool.h>
#include <stdio.h>

#include "base/error.h"

/* Writes s as character data or as the value of a quoted attribute: & < > " ' become references; control
 * characters, direction marks and bad bytes '?'. NULL = nothing. False when out of memory. O(length). */
bool markup_text(FILE *out, const char *s);

/* What `write` writes, as one malloc'ed text, under the C locale of this thread only, so that a caller's
 * decimal commas do not reach the figures. TAMIS_E_MEMORY where `write` is false. */
enum tamis_status markup_render(bool (*write)(FILE *out, const void *what), const void *what, char **text,
                                struct tamis_error *err);

#endif
