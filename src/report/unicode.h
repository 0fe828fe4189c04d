/* SPDX-License-Identifier: Apache-2.0 */
/* Names from models, made safe to show. A model's names may hold any bytes. */
#ifndef REPORT_UNICODE_H
#define REPORT_UNICODE_H

#include <stddef.h>
#include <stdint.h>

#define UNICODE_BAD UINT32_C(0xfffd)

/* The character at s and its length in bytes, 1 to 4. A byte that begins no well-formed sequence is
 * UNICODE_BAD of length 1. s must not be at its NUL. O(1). */
size_t unicode_decode(const char *s, uint32_t *c);

/* Columns a character takes on a terminal: 0 (combining), 1 or 2 (East Asian wide). */
int unicode_columns(uint32_t c);

/* Columns of a whole string. O(length). */
int unicode_width(const char *s);

/* A malloc'ed copy for a terminal: control characters, characters that turn the direction of writing,
 * and bad bytes become '?'. NULL when out of memory. O(length). */
char *unicode_printable(const char *s);

/* A malloc'ed copy that is well-formed UTF-8: bad bytes become U+FFFD, all else stays. NULL when out of
 * memory. */
char *unicode_repair(const char *s);

#endif
