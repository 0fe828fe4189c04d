/* SPDX-License-Identifier: Apache-2.0 */
/* Values of options: read strictly, whatever the locale, or refused with what was wanted. */
#ifndef CLI_VALUE_H
#define CLI_VALUE_H

#include "cli/arguments.h"

/* Stores `text` where the row says; on failure one sentence has been printed and TAMIS_E_USAGE comes
 * back. For OPTION_FLAG and OPTION_CLEAR text is ignored. A list takes what its array has room for:
 * arguments_parse makes it as long as argv. */
enum tamis_status value_store(struct arguments *a, const struct option *o, const char *text);

/* The default of a row as text for the help, from a struct of defaults; "" where there is none to tell. */
const char *value_default(const struct arguments *defaults, const struct option *o, char buf[64]);

/* The word of `list` ("a|b|c") that starts at index i: its length, 0 beyond the last. */
size_t value_word(const char *list, int i, const char **word);

#endif
